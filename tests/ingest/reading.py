"""Reading documents as the product reads them: what their pages say, or why they are refused."""

from __future__ import annotations

import re
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest

from core.errors import DocumentError
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.parser import parse
from ingest.sniff import ContentType

Read = tuple[DocumentOpened, list[ParsedPage]]


async def read(path: Path, content_type: ContentType = ContentType.PDF, limits: ParserLimits | None = None) -> Read:
    async with aclosing(parse(path, content_type, limits or ParserLimits())) as events:
        opened = await anext(events)
        assert isinstance(opened, DocumentOpened)
        pages = [event async for event in events if isinstance(event, ParsedPage)]
    return opened, pages


async def text_of(path: Path, content_type: ContentType) -> str:
    """What a document without pages says."""
    opened, [page] = await read(path, content_type)
    assert (opened.pages, page.number) == (None, None)
    assert_exact(page)
    return page.text


def assert_exact(page: ParsedPage) -> None:
    """The map is sorted, within the text, and covers what was not changed."""
    end = 0
    for start, stop, original in page.source_map:
        assert end <= start < stop <= len(page.text)
        assert original >= 0
        end = stop


def children() -> set[psutil.Process]:
    return set(psutil.Process().children())


async def refusal(
    path: Path, content_type: ContentType = ContentType.PDF, limits: ParserLimits | None = None
) -> DocumentError:
    before = children()
    with pytest.raises(DocumentError) as refused:
        await read(path, content_type, limits)
    assert children() <= before, "no process is left"
    assert not re.search(r"Error|Traceback|mupdf|lxml|/", refused.value.message), "nothing internal is shown"
    return refused.value
