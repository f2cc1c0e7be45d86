"""Documents, read as the product reads them: in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import psutil
import pytest
from reading import children, read, refusal
from until import until

import pdfs
from core.errors import DocumentError, ErrorCode
from ingest.pages import DocumentOpened, ParsedPage, ParserLimits
from ingest.parser import parse
from ingest.sniff import ContentType


async def test_a_manual_is_read_page_by_page_in_order(stored: Callable[[bytes], Path]) -> None:
    opened, pages = await read(stored(pdfs.manual(20)))
    assert opened == DocumentOpened(pages=20, encoding=None)
    assert [page.number for page in pages] == list(range(1, 21))
    for topic, page in zip(pdfs.TOPICS, pages, strict=True):
        assert page.text.startswith(topic.heading + "\n\n")
        assert f"{topic.answer} {topic.detail}\n\nWhoever works here" in page.text


async def test_set_type_is_read_as_it_was_written(stored: Callable[[bytes], Path]) -> None:
    _, [page] = await read(
        stored(
            pdfs.typeset(
                (72, 100, "The members of this reading circle meet in the docu-"),
                (72, 113, "mentation room, which has been well-lit since the new win-"),
                (72, 126, "dows came."),
                (72, 160, "Role"),
                (200, 160, "Key"),
                (72, 173, "Chair"),
                (200, 173, "yes"),
            )
        )
    )
    assert page.text == (
        "The members of this reading circle meet in the documentation room, which has been well-lit since the new "
        "windows came.\n\nRole\tKey\nChair\tyes"
    )


@pytest.mark.parametrize("name", ["plain", "crlf"])
async def test_a_text_file_is_one_page_without_a_number(stored: Callable[[bytes], Path], name: str) -> None:
    text = "Größe: 5\nZweite Zeile\n"
    data = text.encode("cp1252") if name == "plain" else text.replace("\n", "\r\n").encode()
    opened, pages = await read(stored(data), ContentType.TEXT)
    assert opened == DocumentOpened(pages=None, encoding="cp1252" if name == "plain" else "utf-8")
    assert pages == [ParsedPage(None, text, [(0, len(text), 0)])]


async def test_markdown_is_kept_as_it_is(stored: Callable[[bytes], Path]) -> None:
    source = "# One\n\n* two\n\n    code\n"
    _, [page] = await read(stored(source.encode()), ContentType.MARKDOWN)
    assert page.text == source


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (pdfs.encrypted(), ErrorCode.ENCRYPTED, "protected by a password"),
        (pdfs.image_only(), ErrorCode.NO_TEXT, "text recognition"),
        (pdfs.many_pages(3), ErrorCode.NO_TEXT, "No text was found"),
        (pdfs.empty(), ErrorCode.EMPTY, "no pages"),
        (b"%PDF-1.7\n", ErrorCode.CORRUPT, "damaged or incomplete"),
        (b"%PDF-1.7\n" + bytes(range(256)) * 100, ErrorCode.CORRUPT, "damaged or incomplete"),
        (pdfs.truncated(share=0.02), ErrorCode.CORRUPT, "damaged or incomplete"),
        (pdfs.truncated(share=0.5), ErrorCode.CORRUPT, "damaged or incomplete"),
        (pdfs.truncated(share=0.99), ErrorCode.CORRUPT, "damaged or incomplete"),
        (pdfs.empty().replace(b"/Count 0", b"/Count 99999999"), ErrorCode.CORRUPT, "damaged or incomplete"),
        (pdfs.many_pages(5_001), ErrorCode.TOO_MANY_PAGES, "5,001 pages"),
    ],
    ids=["password", "images", "blank", "no pages", "header", "garbage", "2%", "50%", "99%", "false count", "pages"],
)
async def test_a_file_that_cannot_be_read_has_its_own_reason(
    stored: Callable[[bytes], Path], data: bytes, code: ErrorCode, words: str
) -> None:
    error = await refusal(stored(data))
    assert error.code is code
    assert words in error.message
    assert not error.retryable


async def test_blank_text_is_empty(stored: Callable[[bytes], Path]) -> None:
    with pytest.raises(DocumentError) as refused:
        await read(stored(b" \n\n"), ContentType.TEXT)
    assert refused.value.code is ErrorCode.EMPTY
    assert "text file" in refused.value.message


async def test_an_owners_password_alone_hinders_nobody(stored: Callable[[bytes], Path]) -> None:
    _, [page] = await read(stored(pdfs.encrypted(user_password="")))
    assert pdfs.TOPICS[0].answer in page.text


async def test_a_complete_file_with_a_wrong_index_is_read(stored: Callable[[bytes], Path]) -> None:
    _, pages = await read(stored(pdfs.without_index(3)))
    assert [topic.answer in page.text for topic, page in zip(pdfs.TOPICS, pages, strict=False)] == [True] * 3


async def test_exactly_the_allowed_pages_are_read(stored: Callable[[bytes], Path]) -> None:
    path = stored(pdfs.manual(3))
    assert len((await read(path, limits=ParserLimits(max_pages=3)))[1]) == 3
    assert (await refusal(path, limits=ParserLimits(max_pages=2))).code is ErrorCode.TOO_MANY_PAGES


async def test_a_page_that_never_ends_is_stopped_in_time(stored: Callable[[bytes], Path]) -> None:
    error = await refusal(stored(pdfs.nested_forms()), limits=ParserLimits(wall_seconds=1.5))
    assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)
    assert "too long" in error.message


async def test_a_page_that_takes_all_memory_is_stopped(stored: Callable[[bytes], Path]) -> None:
    error = await refusal(stored(pdfs.wall_of_text(1_600_000)), limits=ParserLimits(memory_bytes=64 * 1024 * 1024))
    assert error.code is ErrorCode.TOO_LARGE
    assert "memory" in error.message


async def test_more_text_than_allowed_is_too_large(stored: Callable[[bytes], Path]) -> None:
    error = await refusal(stored(pdfs.manual(5)), limits=ParserLimits(max_chars=1_500))
    assert error.code is ErrorCode.TOO_LARGE
    assert "1,500 characters" in error.message


async def test_a_lost_file_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await read(tmp_path / "missing")


@pytest.mark.long
async def test_a_killed_parser_is_a_damaged_document_and_the_next_one_is_read(
    stored: Callable[[bytes], Path],
) -> None:
    path, before = stored(pdfs.manual(500)), children()

    async def read_and_kill() -> None:
        async with aclosing(parse(path, ContentType.PDF, ParserLimits())) as events:
            await anext(events)
            [child] = children() - before
            child.kill()
            async for _ in events:
                pass

    with pytest.raises(DocumentError) as refused:
        await read_and_kill()
    assert refused.value.code is ErrorCode.CORRUPT
    assert len((await read(path))[1]) == 500


@pytest.mark.parametrize(
    ("sent", "code"),
    # Python aborts where it has no memory left to say so with; MuPDF may be made to fall over.
    [(signal.SIGABRT, ErrorCode.TOO_LARGE), (signal.SIGSEGV, ErrorCode.CORRUPT), (signal.SIGXCPU, ErrorCode.TIMED_OUT)],
)
async def test_what_ended_the_parser_tells_the_reason(
    stored: Callable[[bytes], Path], sent: signal.Signals, code: ErrorCode
) -> None:
    before = children()
    task = asyncio.create_task(read(stored(pdfs.nested_forms())))
    await until(lambda: children() - before)
    [child] = children() - before
    child.send_signal(sent)
    with pytest.raises(DocumentError) as refused:
        await task
    assert refused.value.code is code


async def test_a_consumer_that_stops_early_leaves_no_process(stored: Callable[[bytes], Path]) -> None:
    before = children()
    async with aclosing(parse(stored(pdfs.manual(500)), ContentType.PDF, ParserLimits())) as events:
        await anext(events)
        await anext(events)
        assert children() > before
    assert children() <= before


async def test_a_cancelled_consumer_leaves_no_process(stored: Callable[[bytes], Path]) -> None:
    before = children()
    task = asyncio.create_task(read(stored(pdfs.nested_forms())))
    await until(lambda: children() - before)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() <= before


async def test_the_parser_sees_none_of_our_secrets_and_is_confined(
    stored: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "a-secret-of-ours")
    before = children()
    async with aclosing(parse(stored(pdfs.manual(500)), ContentType.PDF, ParserLimits())) as events:
        await anext(events)
        [child] = children() - before
        environment = child.environ()
        assert os.getpgid(child.pid) == child.pid != os.getpgid(0)
        given_up = (Path("/proc") / str(child.pid) / "status").read_text() if sys.platform == "linux" else "Seccomp:\t2"
    assert "PYTHONPATH" in environment
    assert "SECRET_KEY" not in environment
    assert "Seccomp:\t2" in given_up, "a filter"


@pytest.mark.long
async def test_two_thousand_pages_are_never_all_in_memory(stored: Callable[[bytes], Path]) -> None:
    async with aclosing(parse(stored(pdfs.manual(2_000)), ContentType.PDF, ParserLimits())) as events:
        await anext(events)
        before, highest, count = psutil.Process().memory_info().rss, 0, 0
        async for _ in events:
            count += 1
            if count % 100 == 0:
                highest = max(highest, psutil.Process().memory_info().rss)
    assert count == 2_000
    assert highest - before < 20_000_000
