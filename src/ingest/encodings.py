"""Which encoding the bytes of a text file without a byte order mark are in, when it is not UTF-8.

The detector weighs letters against languages, which says little where a text is short or almost all ASCII. So what it
proposes is read: a text in the wrong encoding has capitals after small letters, signs in the middle of words, words
in two alphabets.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import chardet

# What people's files are in. Asked about all it knows, the detector takes French for a code page of MS-DOS.
_LEGACY = (
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "mac-roman"),
    *("koi8-r", "cp866", "iso8859-2", "iso8859-5", "iso8859-6", "iso8859-7", "iso8859-8"),
    *("cp932", "euc_jis_2004", "gb18030", "big5hkscs", "cp949"),
)
_SAMPLE_BYTES = 1 << 16
"""How much of a file is looked at: half a second's work, and more would change nothing."""
_CONTEXT_BYTES = 1_000
BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_WESTERN = "cp1252"
_MOSTLY_SIGNS = (_WESTERN, "mac-roman")
"""Whose characters beyond ASCII may all be signs; where another encoding is in use, so are its letters."""
_NEAR = 0.75
"""The detector's confidences are small numbers; Western Europe's encoding, by far the most common one, is taken where
it has at least this share of the best."""
_SLIGHT = 0.02
"""Below it all confidences are noise: a handful of letters."""
_MAC_MUST_WIN_BY = 2.0
"""Files from the old Mac OS are rare: its encoding has to be so many times as likely as Western Europe's."""
_FEW_LETTERS = 12
"""Fewer letters of another alphabet than this and than English ones, none of them in a word, are damage."""
_TIE = 0.05
"""Encodings whose shares of odd characters differ by no more are told apart by the detector's confidence."""
_ILLEGIBLE = 0.15
"""With more than this share of odd characters none of the encodings fits."""

_LETTER = r"[^\W\d_]"
_LATIN = [chr(code) for code in range(0xC0, 0x250) if chr(code).isalpha()]
_CASED = [*_LATIN, *map(chr, range(0x370, 0x530))]
_CAPITALS = "".join(letter for letter in _CASED if letter.isupper())
_SMALL = "a-z" + "".join(letter for letter in _CASED if letter.islower())
_SMALL_LATIN = "".join(letter for letter in _LATIN if letter.islower() and letter != "ß")
_WORDS_OF_ONE_LETTER = "àáâäåæèéêëìíîïòóôöøőùúûüýÀÁÂÄÅÆÈÉÊËÌÍÎÏÒÓÔÖØŐÙÚÛÜÝ"
_LONELY = "".join(letter for letter in _LATIN if letter not in _WORDS_OF_ONE_LETTER)
_OTHER_ALPHABETS = r"\u0370-\u06ff"
_ODD = re.compile(
    "|".join(
        [
            r"[\x80-\x9f\ufffd\ue000-\uf8ffˆ˜¨¯¸˙˛˝ˇ˘ÿƒ]",
            rf"(?<=[{_SMALL}])[{_CAPITALS}]",
            rf"(?<=[A-Z]{{2}})[{_SMALL_LATIN}]",
            rf"(?<=[A-Z])[{_CAPITALS}](?=[a-z])",
            rf"(?<={_LETTER})[€£¥¢]|[€£¥¢](?={_LETTER})",
            # The old Mac OS has its bullet where others have the yen.
            r"(?<!\d)(?<!\d[ \xa0])¥(?![ \xa0]?[\d.])",
            r"[†‡‰](?=[a-z])|þ(?!\w)",
            rf"(?<={_LETTER})[¡¿§©®±¹²³ºª¼½¾×÷¤¦¬†‡•‰™‹›«»“”„‚°¶∞≤≥∂∑∏∫√≈∆◊](?={_LETTER})",
            rf"(?<={_LETTER})[¡¿]|[¿¡](?!\s*[\w¿¡\"“(*_])",
            rf"(?<![\w’'])[{_LONELY}](?![\w’'.])",
            rf"(?<=[{_LATIN[0]}-{_LATIN[-1]}]{{3}})[{_LATIN[0]}-{_LATIN[-1]}]",
            rf"(?<=[A-Za-z])[{_OTHER_ALPHABETS}]|[{_OTHER_ALPHABETS}](?=[A-Za-z])",
            r"(?<=[A-Za-z])[\uff61-\uff9f]|[\uff61-\uff9f](?=[A-Za-z])",
            rf"(?<={_LETTER})[\u2500-\u259f]|[\u2500-\u259f](?={_LETTER})",
        ]
    )
)
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_LETTERS_BEYOND_ASCII = re.compile(r"(?![\x00-\x7f])[^\W\d_]")
_ENGLISH_LETTERS = re.compile(r"[A-Za-z]")
_LETTERS_BEYOND_LATIN = re.compile(r"(?![\x00-\u024f])[^\W\d_]")
_WORD_BEYOND_LATIN = re.compile(r"(?:(?![\x00-\u024f])[^\W\d_]){3}|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2}")
# Turkish letters, read as Icelandic ones, beside those that only Turkish has.
_TURKISH = re.compile(r"^(?=(?:[^ðþýÐÞÝ]*[ðþýÐÞÝ]){3})(?=[^çüÇÜ]*[çüÇÜ])[^áíúæ]*$")


def legacy_encoding(data: bytes, declared: str | None = None) -> str | None:
    """The Python name of the encoding that the bytes are in; None where they are legible in none that is in use.

    `declared`, the Python name of the one that the file says it is in, is taken where it fits as well as any other.
    """
    sample = _telling_lines(data)
    western = _decoded(sample, _WESTERN)
    if western is not None and not _LETTERS_BEYOND_ASCII.search(western) and not _ODD.search(western):
        # Quotation marks, dashes, currencies around plain words: there is no letter to tell a language by.
        return _WESTERN
    confidences: dict[str, float] = {}
    oddities: dict[str, float] = {}
    for encoding, confidence in [*_proposed(sample), *([(declared, 0.0)] if declared else [])]:
        text = _decoded(sample, encoding)
        if text is not None and encoding not in confidences:
            confidences[encoding] = confidence
            oddities[encoding] = _oddity(text, encoding)
    fewest = min(oddities.values(), default=1.0)
    if fewest > _ILLEGIBLE:
        return None
    fitting = {name: confidence for name, confidence in confidences.items() if oddities[name] <= fewest + _TIE}
    best = max(fitting, key=lambda name: fitting[name])
    if declared in fitting:
        return declared
    if _WESTERN in fitting:
        share = 1 / _MAC_MUST_WIN_BY if best == "mac-roman" else _NEAR
        if fitting[best] < _SLIGHT or fitting[_WESTERN] >= fitting[best] * share:
            return _WESTERN
    return best


def _telling_lines(data: bytes) -> bytes:
    """The first lines with anything beyond ASCII in them, for a file may begin with pages that tell nothing."""
    lines: list[bytes] = []
    size = at = 0
    while size < _SAMPLE_BYTES and (found := BEYOND_ASCII.search(data, at)) is not None:
        # A cut among ASCII, or at a line's end, is at the end of a character in all of these encodings.
        start = max(at, found.start() - _CONTEXT_BYTES, data.rfind(b"\n", at, found.start()) + 1)
        line_end = data.find(b"\n", found.end(), found.end() + _SAMPLE_BYTES)
        end = line_end + 1 if line_end >= 0 else found.end() + _SAMPLE_BYTES
        lines.append(data[start:end])
        size, at = size + len(lines[-1]), end
    return b"".join(lines)


def _proposed(sample: bytes) -> Iterator[tuple[str, float]]:
    found = chardet.detect_all(
        sample, ignore_threshold=True, max_bytes=len(sample), compat_names=False, include_encodings=_LEGACY
    )
    for result in found:
        if result["encoding"] is not None:
            yield result["encoding"], result["confidence"]


def _decoded(sample: bytes, encoding: str) -> str | None:
    try:
        # The sample may end in the middle of a character.
        return codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return None


def _oddity(text: str, encoding: str) -> float:
    """The share of characters beyond ASCII that have no business where they are, from 0 to 1."""
    if encoding not in _MOSTLY_SIGNS and not _LETTERS_BEYOND_ASCII.search(text):
        return 1.0
    foreign = len(_LETTERS_BEYOND_LATIN.findall(text))
    if 0 < foreign < min(_FEW_LETTERS, len(_ENGLISH_LETTERS.findall(text))) and not _WORD_BEYOND_LATIN.search(text):
        return 1.0
    if encoding == _WESTERN and _TURKISH.search(text):
        return 1.0
    beyond = len(_BEYOND_ASCII.findall(text))
    return len(_ODD.findall(text)) / beyond if beyond else 0.0
