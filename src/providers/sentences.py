"""Cuts a passage into sentences, list items, table rows and headings, each with its exact place in the passage.

Works on plain text, Markdown and text taken from a PDF, whose sentences run over line breaks. A passage is a chunk,
so its first and its last sentence may be torn; they are marked, so that whole ones can be preferred.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARS = 400
"""A sentence longer than this is cut at a word: a quotation is to be read at a glance."""

_HEADING_CHARS = 80
_HEADING_WORDS = 10

_FENCE = re.compile(r"\s*(```|~~~)")
_MARKDOWN_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(?=\S)")
_RULE = re.compile(r"\s*([-=_*|+:]\s?){3,}\s*$")
_ITEM = re.compile(r"\s*(?:[-*+•‣▪◦·–—]|\(?\d{1,3}[.)]|\(?[a-zA-Z][.)])\s+(?=\S)")
_ROW = re.compile(r"\s*\||[^\n]*\S(\t|\s{3,})\S")
_KEY_VALUE = re.compile(r"\s*(\*\*)?[^\W_][^.:!?\n]{0,40}:(\*\*)?\s+\S")
_END = re.compile(r"""[.!?…]+[*_]{0,2}["'”’»)\]]*(?=\s|$)|[。！？｡]+[」』”）]*""")
_TERMINAL = re.compile(r"""[.!?…。！？｡:;][*_"'”’»)\]」』）]*\s*$""")
_LAST_WORD = re.compile(r"[^\W\d_](?:[\w.]*[^\W_])?$")
_WITH_FULL_STOP = """
    mr mrs ms dr prof st jr sr vs e.g i.e cf al approx ca fig eq sec ch vol pp ed eds dept gen rep sen gov capt lt col
    sgt rev hon bzw z.b d.h nr abs u.a p.ex m mme mlle av
"""
_ABBREVIATIONS = frozenset(_WITH_FULL_STOP.split())
# These only when a number follows.
_WITH_NUMBER = "no nos art p para min max tel ext room jan feb mar apr jun jul aug sep sept oct nov dec"
_BEFORE_NUMBERS = frozenset(_WITH_NUMBER.split())

_STARTS = "the an it its in on at by this that these those he she they we you if when for to from all no not each every"
_SENTENCE_STARTS = frozenset(_STARTS.split())


@dataclass(frozen=True, slots=True)
class Sentence:
    """`text[start:end]` of the passage, without outer white space; offsets count Unicode code points."""

    start: int
    end: int
    heading: str
    """The heading that it stands under, run-in headings included; "" when the passage shows none."""
    is_heading: bool
    is_prose: bool
    """False for a list item, table row or code, which need no full stop."""
    is_torn: bool
    """Begins or ends in mid-sentence at the passage's edge."""


@dataclass(slots=True)
class _Segment:
    """A stretch that no sentence crosses: a paragraph, an item, a row, a heading."""

    start: int
    end: int
    kind: str  # prose, item, row, code, heading


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a passage in order; they never overlap. Empty for a passage of white space."""
    found: list[Sentence] = []
    heading = ""
    segments = list(_segments(text))
    for position, segment in enumerate(segments[:-1]):
        # A short line that stands alone without a full stop is a title, unless the passage ends with it.
        line = text[segment.start : segment.end]
        if segment.kind == "prose" and _looks_like_heading(line, may_hold_colon=position == 0):
            segment.kind = "heading"
    for position, segment in enumerate(segments):
        if segment.kind == "heading":
            heading = _plain(text[segment.start : segment.end])
            found.append(Sentence(segment.start, segment.end, "", True, False, False))
            continue
        spans = list(_spans(text, segment)) if segment.kind != "code" else [(segment.start, segment.end)]
        run_in = ""
        for index, (start, end) in enumerate(spans):
            if index == 0 and len(spans) > 1 and _is_run_in_heading(text[start:end]):
                run_in = _plain(text[start:end]).rstrip(".:")
                found.append(Sentence(start, end, heading, True, False, False))
                continue
            is_prose = segment.kind == "prose"
            first = position == 0 and index == 0
            last = position == len(segments) - 1 and index == len(spans) - 1
            torn = (first and _begins_torn(text[start:end])) or (
                last and is_prose and not _TERMINAL.search(text[start:end])
            )
            over = ". ".join(part for part in (heading, run_in) if part)
            found.append(Sentence(start, end, over, False, is_prose, torn))
    return found


def _segments(text: str) -> Iterator[_Segment]:
    """Paragraphs and their like. Lines inside a paragraph are joined where a line break only wraps the text."""
    lines = [(match.start(), match.end()) for match in re.finditer(r"[^\n\r\f\v\u2028\u2029]+", text)]
    block: list[tuple[int, int]] = []
    fence: int | None = None
    previous_end = 0
    for start, end in lines:
        line = text[start:end]
        blank_before = len(re.findall(r"\r\n|[\n\r\f\u2029]", text[previous_end:start])) > 1
        previous_end = end
        if fence is not None or _FENCE.match(line):
            if fence is None:
                yield from _paragraph(text, block)
                block, fence = [], end
            elif _FENCE.match(line):
                yield from _trimmed(text, fence, start, "code")
                fence = None
            continue
        if blank_before or not line.strip():
            yield from _paragraph(text, block)
            block = []
        if not line.strip():
            continue
        if match := _MARKDOWN_HEADING.match(line):
            yield from _paragraph(text, block)
            block = []
            yield from _trimmed(text, start + match.end(), end, "heading")
        elif _RULE.fullmatch(line):
            # Underlines the heading above it, or separates a table's head, or is a rule between paragraphs.
            yield from _paragraph(text, block, underlined=line.lstrip()[0] in "=-")
            block = []
        elif _ROW.match(line):
            yield from _paragraph(text, block)
            block = []
            yield from _row(text, start, end)
        else:
            block.append((start, end))
    if fence is not None:
        yield from _trimmed(text, fence, len(text), "code")
    yield from _paragraph(text, block)


def _row(text: str, start: int, end: int) -> Iterator[_Segment]:
    """A table's row without its outer bars."""
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip("| \t"))
    yield from _trimmed(text, start + left, start + max(left, len(inner.rstrip("| \t\r"))), "row")


def _paragraph(text: str, lines: list[tuple[int, int]], *, underlined: bool = False) -> Iterator[_Segment]:
    """The segments of consecutive lines: cut where an item or a `Key: value` begins, or where a break was meant."""
    widest = max((end - start for start, end in lines), default=0)
    groups: list[list[tuple[int, int]]] = []
    for start, end in lines:
        line = text[start:end]
        if groups and not _ITEM.match(line) and _is_wrapped(text, groups[-1][-1], line, widest):
            groups[-1].append((start, end))
        else:
            groups.append([(start, end)])
    for index, group in enumerate(groups):
        start, end = group[0][0], group[-1][1]
        item = _ITEM.match(text, start, end)
        followed = index < len(groups) - 1 or underlined
        # "3. Waste" over a paragraph is a heading; between other items it is one of them.
        is_listed = item is not None and (
            not item[0].strip()[0].isalnum()
            or index == len(groups) - 1
            or bool(_ITEM.match(text, *groups[index + 1][0]))
        )
        if len(group) == 1 and followed and not is_listed and _looks_like_heading(text[start:end]):
            yield from _trimmed(text, start, end, "heading")
        elif item:
            yield from _trimmed(text, item.end(), end, "item")
        else:
            kind = "row" if len(group) == 1 and len(lines) > 1 and _KEY_VALUE.match(text[start:end]) else "prose"
            yield from _trimmed(text, start, end, kind)


def _is_wrapped(text: str, previous: tuple[int, int], line: str, widest: int) -> bool:
    """Whether the break before `line` only wraps a sentence: its first word would not have fitted above."""
    above = text[previous[0] : previous[1]].rstrip()
    if _KEY_VALUE.match(line) and (_KEY_VALUE.match(above) or above.endswith(":")):
        return False
    if above.isupper() and not line.isupper():
        return False
    first_word = line.split(None, 1)[0]
    begins = first_word[0].isupper() or first_word[0].isdigit() or first_word[0] in "\"'“‘«([*_`"
    return not begins or len(above) + 1 + len(first_word) > widest * 0.85


def _looks_like_heading(line: str, *, may_hold_colon: bool = False) -> bool:
    stripped = _plain(line)
    if not stripped or "\n" in line or len(stripped) > _HEADING_CHARS or len(stripped.split()) > _HEADING_WORDS:
        return False
    if (_KEY_VALUE.match(line) and not stripped.isupper() and not may_hold_colon) or stripped[-1] in ".!?;,…。！？":
        return False
    return not stripped[0].islower()


def _is_run_in_heading(text: str) -> bool:
    """`Deposit.` or `**Luggage.**` before the sentences of its paragraph; never a short sentence such as `Yes.`"""
    plain = _plain(text)
    words = plain.rstrip(".:").split()
    if not plain.endswith((".", ":")) or not words or not words[0][0].isupper():
        return False
    return len(words) <= 4 if text.lstrip().startswith(("**", "__")) else len(words) <= 2 and len(words[0]) > 3


def _spans(text: str, segment: _Segment) -> Iterator[tuple[int, int]]:
    start = segment.start
    if segment.kind != "row":
        for match in _END.finditer(text, segment.start, segment.end):
            if match.end() < segment.end and not _ends_sentence(text, start, match, segment.end):
                continue
            yield from _shortened(text, start, match.end())
            start = match.end()
            while start < segment.end and text[start].isspace():
                start += 1
    if start < segment.end:
        yield from _shortened(text, start, segment.end)


def _ends_sentence(text: str, start: int, match: re.Match[str], limit: int) -> bool:
    if match[0][0] in "。！？｡":
        return True
    rest = text[match.end() : limit].lstrip()
    if not rest or rest[0].islower():
        return False
    if match[0][0] != ".":
        return True
    word = _LAST_WORD.search(text, max(start, match.start() - 20), match.start())
    if word is None:
        # A number with a full stop at the very beginning counts an item: "3. Rent".
        return not text[start : match.start()].strip().isdigit()
    name = word[0].lower()
    if name in _ABBREVIATIONS or (name in _BEFORE_NUMBERS and rest[0].isdigit()):
        return False
    # An initial, as in "J. R. Weller"; but a label where a sentence plainly begins: "behind building C. The …".
    is_initial = len(word[0]) == 1 and word[0].isupper() and rest[0].isupper()
    return not is_initial or rest.split(None, 1)[0].lower() in _SENTENCE_STARTS


def _shortened(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while end - start > MAX_CHARS:
        cut = max(text.rfind(mark, start + MAX_CHARS // 2, start + MAX_CHARS) for mark in ("; ", "\n", " "))
        cut = cut + 1 if cut > 0 else start + MAX_CHARS
        yield start, start + len(text[start:cut].rstrip())
        start = cut
        while start < end and text[start].isspace():
            start += 1
    if start < end:
        yield start, end


def _trimmed(text: str, start: int, end: int, kind: str) -> Iterator[_Segment]:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield _Segment(start, end, kind)


def _begins_torn(text: str) -> bool:
    return text[0].islower() or text[0] in ",.;:!?)]}"


def _plain(text: str) -> str:
    """A heading's words without Markdown's marks, white space normalised."""
    return " ".join(text.replace("**", "").replace("__", "").strip("#=*_ \t\n").split())
