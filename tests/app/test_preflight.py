"""A wrong setting ends a command at once, with one line that names the setting, whatever the command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.settings import Settings

pytestmark = [pytest.mark.long, pytest.mark.timeout(60)]  # a command loads for seconds on a busy machine
SOURCES = Path(__file__).parents[2] / "src"
SECRET = "a secret key for tests, 32 characters"
AWAY = "postgresql://ada:hidden@127.0.0.1:1/colloquy"
REDIS_AWAY = "redis://:hidden@127.0.0.1:1/0"
REFUSED = "could not connect to 127.0.0.1:1 (refused). Start it, or"
NOBODY_S = {name.upper() for name in Settings.model_fields}


@dataclass
class Ended:
    """How a command ended; `seconds` it took."""

    status: int
    out: str
    err: str
    seconds: float


def colloquy(command: str, folder: Path, **settings: str | None) -> Ended:
    """Run a command to its end with these settings and no other."""
    clean = {name: value for name, value in os.environ.items() if name not in NOBODY_S}
    given = {name: value for name, value in settings.items() if value is not None}
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", command],
        cwd=folder,
        env=clean | {"PYTHONPATH": str(SOURCES), "PORT": "0"} | given,
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def assert_one_line(ended: Ended, words: str) -> None:
    """One line on standard error that begins so, without a password, soon."""
    assert ended.err.startswith(f"colloquy: {words}")
    assert (ended.status, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "hidden" not in ended.err
    assert ended.seconds < 30


@pytest.mark.parametrize(
    ("command", "settings", "words"),
    [
        ("run", {"DATABASE_URL": AWAY}, f"DATABASE_URL: {REFUSED} unset DATABASE_URL to use the embedded server."),
        ("run", {"DATABASE_URL": AWAY, "DATABASE_OWNER_URL": AWAY}, f"DATABASE_OWNER_URL: {REFUSED}"),
        ("run", {"REDIS_URL": REDIS_AWAY}, f"REDIS_URL: {REFUSED} unset REDIS_URL to use the embedded server."),
        ("run", {"SECRET_KEY": "short"}, "SECRET_KEY: 5 characters, at least 32"),
        ("run", {"PORT": "many"}, "PORT: "),
        ("run", {"S3_ENDPOINT": "127.0.0.1:9000"}, "S3_ENDPOINT: "),
        ("run", {"S3_BUCKET": "originals", "S3_ACCESS_KEY_ID": "key"}, "S3_SECRET_ACCESS_KEY: not set, but S3_ACC"),
        ("serve", {"SECRET_KEY": SECRET}, "DATABASE_URL: not set."),
        ("serve", {"DATABASE_URL": AWAY, "REDIS_URL": REDIS_AWAY}, "SECRET_KEY: not set."),
        ("serve", {"SECRET_KEY": "short", "DATABASE_URL": AWAY}, "SECRET_KEY: 5 characters, at least 32"),
        ("serve", {"SECRET_KEY": SECRET, "DATABASE_URL": AWAY}, f"DATABASE_URL: {REFUSED} correct DATABASE_URL."),
        ("work", {}, "DATABASE_URL: not set."),
        ("work", {"DATABASE_URL": AWAY}, f"DATABASE_URL: {REFUSED}"),
        ("seed", {"SECRET_KEY": SECRET, "DATABASE_URL": AWAY}, f"DATABASE_URL: {REFUSED}"),
        ("migrate", {"DATABASE_URL": AWAY}, "DATABASE_OWNER_URL: not set."),
        ("migrate", {"DATABASE_OWNER_URL": AWAY, "DATABASE_URL": AWAY}, f"DATABASE_OWNER_URL: {REFUSED}"),
        ("migrate", {"DATABASE_OWNER_URL": "nonsense", "DATABASE_URL": AWAY}, "DATABASE_OWNER_URL: not a URL."),
    ],
)
def test_a_wrong_setting_or_a_server_that_is_away_is_one_line(
    tmp_path: Path, command: str, settings: dict[str, str], words: str
) -> None:
    assert_one_line(colloquy(command, tmp_path, **settings), words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "serve", "work", "seed"])
def test_with_the_database_there_each_other_server_is_looked_for(
    settings: Settings, tmp_path: Path, command: str
) -> None:
    good = {
        "SECRET_KEY": SECRET,
        "DATABASE_URL": settings.database_url,
        "DATABASE_PLATFORM_URL": settings.database_platform_url,
        "REDIS_URL": settings.redis_url,
        "DATA_DIR": str(tmp_path / "made later"),
    }
    assert_one_line(colloquy(command, tmp_path, **good | {"REDIS_URL": REDIS_AWAY}), f"REDIS_URL: {REFUSED}")
    platform = colloquy(command, tmp_path, **good | {"DATABASE_PLATFORM_URL": AWAY})
    assert_one_line(platform, f"DATABASE_PLATFORM_URL: {REFUSED}")
    bucket = {"S3_BUCKET": "originals", "S3_ENDPOINT": "http://127.0.0.1:1", "S3_ACCESS_KEY_ID": "key"}
    away = colloquy(command, tmp_path, **good | bucket | {"S3_SECRET_ACCESS_KEY": "hidden"})
    assert_one_line(away, "S3_ENDPOINT: could not connect to http://127.0.0.1:1 (refused). Start it, or")


def test_serve_tells_what_is_unsafe_or_missing_beyond_its_servers_as_shortly(
    settings: Settings, tmp_path: Path
) -> None:
    good = {
        "SECRET_KEY": SECRET,
        "DATABASE_URL": settings.database_url,
        "DATABASE_PLATFORM_URL": settings.database_platform_url,
        "REDIS_URL": settings.redis_url,
    }
    unsafe = colloquy("serve", tmp_path, **good | {"DATABASE_URL": settings.database_owner_url})
    assert_one_line(unsafe, "DATABASE_URL: the role 'colloquy_owner'")
    assert_one_line(colloquy("serve", tmp_path, **good, CHAT_PROVIDER="gemini"), "GEMINI_API_KEY: not set")
    assert_one_line(colloquy("serve", tmp_path, **good, FALLBACK_CHAT_PROVIDER="openai"), "OPENAI_API_KEY: not set")
    assert_one_line(colloquy("serve", tmp_path, **good, OPENAI_BASE_URL="here"), "OPENAI_BASE_URL: expected http")
