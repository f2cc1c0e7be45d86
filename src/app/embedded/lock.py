"""One run at a time in a data folder."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import IO

from app.embedded.files import make_folder
from core.errors import ConfigurationError


class DataFolderLock:
    """A `with` block that holds `data_dir/lock`; the kernel frees it when the process ends in any way.

    Entering raises `ConfigurationError` when another run holds it, and says which: the file carries pid and address.
    """

    def __init__(self, data_dir: Path, url: str) -> None:
        self._data_dir = data_dir
        self._url = url
        self._file: IO[str] | None = None

    def __enter__(self) -> None:
        path = make_folder(self._data_dir) / "lock"
        try:
            # Not "w": the text of the one who holds the lock must survive our attempt.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigurationError(f"DATA_DIR: cannot write {path} ({error.strerror}).") from None
        file = os.fdopen(descriptor, "r+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                holder = file.read()
            raise ConfigurationError(_already_running(holder, path.parent)) from None
        file.truncate(0)
        json.dump({"pid": os.getpid(), "url": self._url}, file)
        file.flush()
        self._file = file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.truncate(0)
            self._file.close()
            self._file = None


def _already_running(holder: str, data_dir: Path) -> str:
    try:
        record = json.loads(holder)
        who = f" (pid {record['pid']}, {record['url']})"
    except (ValueError, KeyError, TypeError):
        who = ""  # it has the lock and has not yet written its name
    return (
        f"Colloquy is already running with the data in {data_dir}{who}. "
        "Use that one, or stop it with Ctrl-C in its terminal; to run a second one beside it, give it a folder and a "
        "port of its own: DATA_DIR=.data2 PORT=8001 make run"
    )
