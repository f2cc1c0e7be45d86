"""The children's log files: kept short, and watched for errors."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from app.embedded.files import open_log

_LIMIT = 10 * 1024 * 1024  # bytes a log may grow to; with the one before it, twice that on disk
# core/logging.py's two forms: `[error    ]` in development, `"level": "error"` in production.
_ERROR = re.compile(r'\[(?:\x1b\[[0-9;]*m)*(?:error|critical) *(?:\x1b\[[0-9;]*m)*\]|"level": ?"(?:error|critical)"')
_MOST = 20  # lines shown from one look; the rest is in the file


class WatchedLog:
    """One log file, from its present end on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._seen = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def rotate(self) -> None:
        """Move what is there to `NAME.1` once it is too long.

        Copied and truncated, because a running child keeps its descriptor; it appends, so it goes on at the start.
        Lines written between the two steps are lost.
        """
        if not self.path.exists() or self.path.stat().st_size < _LIMIT:
            return
        aside = self.path.with_name(self.path.name + ".1")
        aside.unlink(missing_ok=True)
        with self.path.open("rb") as source, open_log(aside) as target:
            shutil.copyfileobj(source, target)
        with self.path.open("r+b") as file:
            file.truncate(0)
        self._seen, self._rest = 0, b""

    def new_errors(self) -> list[str]:
        """Error lines that were written since the last call, at most 20, without the end of an unfinished line."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._seen)
            text = self._rest + file.read(1024 * 1024)
            self._seen = file.tell()
        *lines, self._rest = text.split(b"\n")
        found = [line.decode("utf-8", "replace") for line in lines]
        return [line for line in found if _ERROR.search(line)][:_MOST]
