"""Small private files in the data folder: written whole or not at all, readable by their owner alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import ConfigurationError
from datastores.files import write_private


def make_folder(path: Path) -> Path:
    """The folder as an absolute path, created with mode 0700 where missing. Raises `ConfigurationError`."""
    path = path.expanduser().absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"DATA_DIR: cannot create {path} ({error.strerror}). Set DATA_DIR to a folder that you may write."
        ) from None
    return path


def make_private(path: Path) -> Path:
    """The folder, mode 0700 also where an earlier version made it otherwise. Raises `ConfigurationError`."""
    path = make_folder(path)
    try:
        path.chmod(0o700)
    except OSError as error:
        raise ConfigurationError(
            f"DATA_DIR: {path} belongs to somebody else ({error.strerror}). Move it away: it is made anew."
        ) from None
    return path


def open_log(path: Path) -> BinaryIO:
    """A log to append to, mode 0600, made with its folder where missing: development's has links from mails in it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def read_record(path: Path) -> dict[str, Any]:
    """The JSON object in the file; empty when the file is missing or is not one (it is then made anew)."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Keep a JSON object, mode 0600."""
    write_private(path, (json.dumps(record, indent=2) + "\n").encode())
