"""scripts/bootstrap and the Makefile, as far as they can be tried without a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the bootstrapping alone, and a lock that names nothing."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "requirements-dev.lock").touch()
    (tmp_path / "pyproject.toml").touch()
    return tmp_path


def bootstrap(clone: Path, lock: str = "requirements.lock", **environment: str) -> subprocess.CompletedProcess[str]:
    command = [clone / "scripts" / "bootstrap", lock]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)


def fake_python(folder: Path, script: str) -> None:
    folder.mkdir(parents=True)
    for name in ("python3.11", "python3.12", "python3", "python"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


def test_without_a_python_that_fits_one_line_says_what_to_install(clone: Path) -> None:
    fake_python(clone / "bin", "exit 1")
    done = bootstrap(clone, PATH=f"{clone / 'bin'}:/usr/bin:/bin")
    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or 3.12 is needed")
    assert len(done.stderr.splitlines()) == 1
    assert not (clone / ".venv").exists()


def module(clone: Path) -> ModuleType:
    """The clone's own scripts/bootstrap.py."""
    specification = spec_from_file_location("clone_bootstrap", clone / "scripts" / "bootstrap.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = module_from_spec(specification)
    specification.loader.exec_module(loaded)
    return loaded


def test_an_interrupted_installation_is_begun_from_nothing(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    (clone / ".venv" / ".installing").touch()
    fake_python(clone / "bin", "echo ensurepip is not available; exit 1")
    monkeypatch.setattr("sys.executable", str(clone / "bin" / "python3"))
    assert module(clone).install("requirements.lock") == 1
    said = capfd.readouterr()
    assert "was interrupted; starting it again" in said.out
    assert "ensurepip is not available (Debian: apt install python3.11-venv)" in said.err
    assert not (clone / ".venv").exists()


def test_a_failed_installation_says_why_and_counts_for_nothing(clone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fake_python(
        clone / ".venv" / "bin",
        'case "$*" in *--version*) exit 0;; esac; echo Collecting no-such-package; echo ERROR: not found; exit 1',
    )
    assert module(clone).install("requirements.lock") == 1
    assert "pip install failed:\n  Collecting no-such-package\n  ERROR: not found" in capfd.readouterr().err
    assert (clone / ".venv" / ".installing").exists()
    assert not module(clone).is_current("requirements.lock")


@pytest.mark.parametrize(
    ("installed", "asked", "current"),
    [
        ("requirements.lock", "requirements.lock", True),
        ("requirements-dev.lock", "requirements.lock", True),
        ("requirements.lock", "requirements-dev.lock", False),
    ],
)
def test_what_is_installed_is_known_by_its_lock(clone: Path, installed: str, asked: str, current: bool) -> None:
    fake_python(clone / ".venv" / "bin", "exit 0")
    assert module(clone).install(installed) == 0
    assert module(clone).is_current(asked) is current
    (clone / "pyproject.toml").write_text("# changed")
    assert not module(clone).is_current(asked)


def test_a_lock_that_is_not_there_is_a_usage_error(clone: Path) -> None:
    done = bootstrap(clone, "nothing.lock")
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


def test_the_larger_lock_includes_the_smaller_and_every_package_has_a_hash() -> None:
    pins = {}
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        pins[name] = set(re.findall(r"^([A-Za-z0-9._-]+==\S+)", text, re.MULTILINE))
        assert len(re.findall(r"^[A-Za-z0-9._-]+==.*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins[name])
        assert "://" not in text
    assert pins["requirements.lock"] < pins["requirements-dev.lock"]


def test_make_alone_says_what_there_is() -> None:
    done = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    for target in ("run", "test", "demo", "lint", "types", "lock", "schema", "web", "help"):
        assert f"make {target} " in done.stdout
