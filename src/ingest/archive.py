"""Documents that are ZIP archives: what may be unpacked of one, for a small file can hold any number of bytes."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

from core.errors import ErrorCode
from ingest.pages import MEBIBYTE
from ingest.refusal import Refusal

MAX_ENTRIES = 20_000
"""A book with a picture on each of 5,000 pages has about 10,000."""
MAX_PART_BYTES = 64 * MEBIBYTE
"""Of one part that is read, unpacked; pictures are not. A novel's whole text is a fiftieth of it."""
_ENCRYPTED = 1  # the flag of an entry; APPNOTE.TXT, 4.4.4
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError, OSError)
"""What reading a damaged archive raises; `zipfile` says NotImplementedError of a compression or version it has not."""


def open_archive(file: Path | BinaryIO) -> zipfile.ZipFile:
    """Raises Refusal: CORRUPT for what is no archive, ENCRYPTED, TOO_LARGE for one with too many entries."""
    try:
        archive = zipfile.ZipFile(file)
    except DAMAGED as error:
        raise Refusal(ErrorCode.CORRUPT) from error
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise Refusal(ErrorCode.TOO_LARGE)
    if any(entry.flag_bits & _ENCRYPTED for entry in entries):
        raise Refusal(ErrorCode.ENCRYPTED)
    return archive


def read_part(archive: zipfile.ZipFile, name: str) -> bytes:
    """One part, unpacked. Not more is unpacked than the archive declares, whatever is packed.

    Raises KeyError where there is none of that name; Refusal: TOO_LARGE beyond `MAX_PART_BYTES`, CORRUPT.
    """
    entry = archive.getinfo(name)
    if entry.file_size > MAX_PART_BYTES:
        raise Refusal(ErrorCode.TOO_LARGE)
    try:
        return archive.read(entry)
    except DAMAGED as error:
        raise Refusal(ErrorCode.CORRUPT) from error
