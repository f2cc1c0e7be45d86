"""Small files on this machine, there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import BinaryIO


def write_private(path: Path, content: bytes) -> None:
    """Replace the file in one step, mode 0600: a killed process leaves the old content or the new. Raises OSError."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    file, draft = os.fdopen(descriptor, "wb"), Path(name)
    try:
        file.write(content)
        commit(file, draft, path)
    except BaseException:
        file.close()
        draft.unlink(missing_ok=True)
        raise


def commit(file: BinaryIO, draft: Path, path: Path) -> None:
    """Make the bytes durable, then give them their name: a crash in between leaves only the draft. Raises OSError."""
    file.flush()
    os.fsync(file.fileno())
    file.close()
    draft.replace(path)
