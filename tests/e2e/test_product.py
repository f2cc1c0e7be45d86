"""The product as a person has it: started by its own entry, asked over real sockets, stopped, killed, started again."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import psutil
import pytest
from started_product import StartedProduct

import pdfs
from product import Person, Product

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(120)]
PAGES = 24


@pytest.fixture
async def started(tmp_path: Path) -> AsyncIterator[StartedProduct]:
    product = await StartedProduct.start(tmp_path / "data")
    try:
        await product.ready()
        yield product
    finally:
        if product.process.returncode is None:
            await product.stop()


async def _person(started: StartedProduct, http: aiohttp.ClientSession) -> Person:
    # The client's side of `Product` is all that is used: the server is another process.
    client = Product(started.url, cast("Any", SimpleNamespace()), cast("Any", SimpleNamespace()), http)
    return Person(client, await started.log_in(http), "", "")


async def test_a_pdf_of_many_pages_is_uploaded_and_answers_quote_it_exactly(started: StartedProduct) -> None:
    async with aiohttp.ClientSession() as http:
        person = await _person(started, http)
        document = await person.ready_document(pdfs.manual(PAGES), "manual.pdf")
        conversation = await person.conversation()
        for topic in (pdfs.TOPICS[number] for number in (0, 4, 9, 13, 18)):
            events = await person.ask(topic.question, conversation)
            await _check_stream(person, events)
            text = events[-1]["answer"]["message"]["text"]
            assert topic.answer.rstrip(".") in text, (topic.question, text)
            pages = {e["citation"]["page"] for e in events if e["__typename"] == "AnswerCitation"}
            assert pages
        events = await person.ask("Which football club won the league in 1987?", conversation)
        await _check_stream(person, events)
        assert events[-1]["answer"]["message"]["text"] == "The documents do not answer this."
        query = "query($id: ID!) { node(id: $id) { ... on Document { pageCount chunkCount status contentUrl } } }"
        node = (await person.query(query, id=document))["node"]
        assert (node["pageCount"], node["status"]) == (PAGES, "READY")
        async with http.get(node["contentUrl"]) as response:
            assert (await response.read()).startswith(b"%PDF-")


async def _check_stream(person: Person, events: list[dict[str, Any]]) -> None:
    """The stream's law, and each quote an exact substring of its page's text."""
    expected, text = 1, ""
    for event in events:
        assert event.get("firstSequence", event["sequence"]) == expected
        expected = event["sequence"] + 1
        text += event.get("text", "")
        if event["__typename"] == "AnswerCitation":
            citation = event["citation"]
            page = await _page_text(person, citation["chunk"]["id"], citation["chunk"]["page"] or 1)
            assert citation["quote"] in citation["chunk"]["text"]
            assert citation["quote"] in page
            assert page[citation["chunk"]["start"] : citation["chunk"]["end"]] == citation["chunk"]["text"]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert text == events[-1]["answer"]["message"]["text"]


async def _page_text(person: Person, chunk: str, number: int) -> str:
    query = (
        """query($id: ID!, $n: Int!) { node(id: $id) { ... on Chunk { document { page(number: $n) { text } } } } }"""
    )
    return (await person.query(query, id=chunk, n=number))["node"]["document"]["page"]["text"]  # type: ignore[no-any-return]


async def test_ctrl_c_leaves_no_process(started: StartedProduct) -> None:
    children = started.children()
    assert len(children) >= 4
    assert await started.stop() == 0
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("victim", ["the supervisor", "postgres", "redis", "the API", "the worker"])
async def test_after_kill_9_of_any_part_a_new_run_has_everything(started: StartedProduct, victim: str) -> None:
    words = {"postgres": "postgres", "redis": "redis-server", "the API": "serve", "the worker": "work"}
    async with aiohttp.ClientSession() as http:
        person = await _person(started, http)
        await person.ready_document(b"The ferry to Odda leaves at 06:40 from pier three.", "ferry.txt")
        if victim == "the supervisor":
            started.process.kill()
            await started.said_at_its_end()
        else:
            part = next(c for c in started.children() if words[victim] in " ".join(c.cmdline()))
            part.send_signal(signal.SIGKILL)
            await started.stop()
        again = await StartedProduct.start(started.data_dir, started.port)
        try:
            await again.ready()
            person = await _person(again, http)
            events = await person.ask("When does the ferry to Odda leave?")
            assert "06:40" in events[-1]["answer"]["message"]["text"]
        finally:
            await again.stop()


async def test_a_second_run_beside_the_first_says_what_is_wrong(started: StartedProduct) -> None:
    second = await StartedProduct.start(started.data_dir)
    assert await second.said_at_its_end() == 1
    assert "already running" in second.printed
    assert str(started.process.pid) in second.printed


async def test_a_taken_port_is_said_before_anything_is_started(started: StartedProduct, tmp_path: Path) -> None:
    other = await StartedProduct.start(tmp_path / "other", started.port)
    assert await other.said_at_its_end() == 1
    assert "PORT" in other.printed
    assert str(started.port) in other.printed
    assert not (tmp_path / "other" / "postgres").exists()
