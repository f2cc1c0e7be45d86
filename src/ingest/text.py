"""Text and Markdown files: their encoding, and their cleaned text. Markdown is kept as it is written."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

from core.errors import ErrorCode
from ingest.assembly import Assembly
from ingest.pages import ParsedPage
from ingest.refusal import Refusal

# UTF-32's little-endian mark begins with UTF-16's, so it comes first.
_MARKS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What people's files are in. Asked about all it knows, the detector takes "café" in Windows-1252 for UTF-16.
_LEGACY = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "koi8_r", "mac_roman"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
]
_DETECTION_BYTES = 1 << 20
"""The detector looks at the first MiB: it samples anyway, and the whole of a large file would take it minutes."""
_TOLERATED = 0.1
"""A file is UTF-8 with damage, not another encoding, while its bad bytes are below a tenth of its good sequences."""
_LINE_END = re.compile("\r\n?")


def read_text(data: bytes, max_chars: int) -> tuple[ParsedPage, str]:
    """The whole file as one page without a number, and its encoding.

    The source map leads back to the decoded text, its line ends already `\\n`.
    Raises Refusal: EMPTY where nothing but white space is in it, CORRUPT where no encoding fits, TOO_LARGE beyond
    `max_chars` code points.
    """
    decoded, encoding = decode(data)
    if len(decoded) > max_chars:
        raise Refusal(ErrorCode.TOO_LARGE, max_chars)
    assembly = Assembly()
    assembly.clean(_LINE_END.sub("\n", decoded))
    text = assembly.text
    if not text or text.isspace():
        raise Refusal(ErrorCode.EMPTY)
    return ParsedPage(None, text, assembly.source_map), encoding


def decode(data: bytes) -> tuple[str, str]:
    """The text and the encoding's Python name: by byte order mark, as UTF-8, then by its statistics.

    Raises Refusal: CORRUPT where no encoding fits.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace"), encoding
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    damaged = data.decode("utf-8", errors="replace")
    bad = damaged.count("\ufffd")
    beyond_ascii = sum(1 for character in damaged if character > "\x7f") - bad
    if bad <= beyond_ascii * _TOLERATED:
        return damaged, "utf-8"
    encoding = _detected(data)
    return data.decode(encoding, errors="replace"), encoding


def _detected(data: bytes) -> str:
    sample = data[:_DETECTION_BYTES]
    if len(sample) < len(data):
        # Not in the middle of a character: a cut at a line's end is safe in all of these encodings.
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    matches = from_bytes(sample, cp_isolation=_LEGACY)
    best = matches.best()
    if best is None:
        raise Refusal(ErrorCode.CORRUPT)
    # On a tie the detector says cp1250, where "à" is "ŕ"; cp1252 is the encoding of far more files.
    for match in matches:
        western = "cp1252" in (match.encoding, *match.could_be_from_charset)
        if western and match.chaos <= best.chaos and match.coherence >= best.coherence:
            return "cp1252"
    return best.encoding
