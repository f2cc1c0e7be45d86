"""What each error of an OpenAI-compatible server becomes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from core.errors import ErrorCode, ProviderError
from openai_server import Cut, Data, Done, Page, Raw, Refuse, Say, Step, openai_server
from providers.base import ChatMessage, ChatRequest, TextDelta
from providers.http.event_stream import MAX_EVENT_BYTES
from providers.openai import OpenAIChat

REQUEST = ChatRequest("m", 0.2, "", (ChatMessage("user", "?"),), "?", ())
SECRET = "internal text of the vendor"


@asynccontextmanager
async def failing(base_url: str) -> AsyncIterator[OpenAIChat]:
    chat = OpenAIChat(api_key="k", model="m", base_url=base_url)
    try:
        yield chat
    finally:
        await chat.aclose()


async def outcome(script: list[Step]) -> tuple[str, ProviderError]:
    """The text that came out, and the error after it."""
    async with openai_server() as server:
        server.script = script
        async with failing(server.base_url) as chat:
            return await _outcome(chat)


async def _outcome(chat: OpenAIChat) -> tuple[str, ProviderError]:
    texts: list[str] = []
    with pytest.raises(ProviderError) as caught:
        await _read(chat, texts)
    assert SECRET not in caught.value.message
    return "".join(texts), caught.value


async def _read(chat: OpenAIChat, texts: list[str]) -> None:
    async with asyncio.timeout(10), aclosing(chat.stream(REQUEST)) as stream:
        async for event in stream:
            assert isinstance(event, TextDelta)
            texts.append(event.text)


def error(message: str = SECRET, **fields: Any) -> dict[str, Any]:
    return {"message": message, **fields}


@pytest.mark.parametrize(
    ("refusal", "code", "retryable"),
    [
        (Refuse(401), "PROVIDER_AUTH", False),
        (Refuse(403), "PROVIDER_AUTH", False),
        (Refuse(429), "PROVIDER_RATE_LIMITED", True),
        (Refuse(429, error(code="insufficient_quota")), "PROVIDER_RATE_LIMITED", False),
        (Refuse(400, error(code="context_length_exceeded")), "CONTEXT_TOO_LONG", False),
        (Refuse(400, error("This model's maximum context length is 4096 tokens.")), "CONTEXT_TOO_LONG", False),
        (Refuse(400, error(type="exceed_context_size_error")), "CONTEXT_TOO_LONG", False),
        (Refuse(413, "Payload too large"), "CONTEXT_TOO_LONG", False),
        (Refuse(400, error(code="content_filter")), "CONTENT_FILTERED", False),
        (Refuse(400), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(422, None), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, error("model 'm' not found")), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, error("Not Found")), "PROVIDER_UNAVAILABLE", False),
        (Refuse(307, headers={"Location": "http://127.0.0.1:1/"}), "PROVIDER_UNAVAILABLE", False),
        (Refuse(408), "TIMED_OUT", True),
        (Refuse(504), "TIMED_OUT", True),
        (Refuse(500), "PROVIDER_UNAVAILABLE", True),
        (Refuse(503, "Loading model"), "PROVIDER_UNAVAILABLE", True),
        (Refuse(200, error(code="server_error")), "PROVIDER_UNAVAILABLE", True),
        (Page("Bad gateway", "text/html"), "PROVIDER_BAD_RESPONSE", True),
        (Page("{}", "application/json"), "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=lambda value: f"{value.status}-{value.error}"[:60] if isinstance(value, Refuse) else None,
)
async def test_a_refusal_has_its_code(refusal: Step, code: str, retryable: bool) -> None:
    text, failure = await outcome([refusal])
    assert (text, failure.code.value, failure.retryable) == ("", code, retryable)


@pytest.mark.parametrize(
    ("end", "code", "retryable"),
    [
        ([Cut()], "PROVIDER_UNAVAILABLE", True),
        ([], "PROVIDER_UNAVAILABLE", True),
        ([Data({"error": error(code=429)})], "PROVIDER_RATE_LIMITED", True),
        ([Data({"error": error(type="rate_limit_error")})], "PROVIDER_RATE_LIMITED", True),
        ([Data({"error": error(type="server_error")})], "PROVIDER_UNAVAILABLE", True),
        ([Data({"error": SECRET})], "PROVIDER_UNAVAILABLE", True),
        ([Data({"object": "error", "message": SECRET, "code": 400})], "PROVIDER_BAD_RESPONSE", False),
        ([Data("{not json")], "PROVIDER_BAD_RESPONSE", True),
        ([Data("[" * 100_000)], "PROVIDER_BAD_RESPONSE", True),
        ([Data("[]")], "PROVIDER_BAD_RESPONSE", True),
        ([Raw(b"data: \xff\xfe\n\n")], "PROVIDER_BAD_RESPONSE", True),
        ([Raw(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))], "PROVIDER_BAD_RESPONSE", True),
        ([Say(finish="tool_calls"), Done()], "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=[
        *("cut", "closed", "429", "rate limit", "error", "error as text", "vLLM's", "not JSON", "nested", "a list"),
        *("not UTF-8", "too long", "odd reason"),
    ],
)
async def test_what_was_said_before_it_broke_is_kept(end: list[Step], code: str, retryable: bool) -> None:
    text, failure = await outcome([Say("Yes, "), Say("but"), *end])
    assert (text, failure.code.value, failure.retryable) == ("Yes, but", code, retryable)


@pytest.mark.parametrize("script", [[], [Done()], [Say(finish="stop"), Done()]], ids=["nothing", "end", "reason"])
async def test_an_answer_without_text_is_none(script: list[Step]) -> None:
    text, failure = await outcome(script)
    assert (text, failure.code, failure.retryable) == ("", ErrorCode.PROVIDER_BAD_RESPONSE, True)


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ({"Retry-After": "7"}, 7, 7),
        ({"Retry-After": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25, 0.25),
        ({"Retry-After": "in an hour"}, 3500, 3600),
        ({"Retry-After": "an hour ago"}, 0, 0),
    ],
    ids=["seconds", "half a second", "milliseconds", "date", "past date"],
)
async def test_how_long_the_server_wants_to_be_left_alone(headers: dict[str, str], least: float, most: float) -> None:
    # Not before the test begins: the tests ahead of it may take minutes.
    now = time.time()
    dates = {"in an hour": formatdate(now + 3600, usegmt=True), "an hour ago": formatdate(now - 3600, usegmt=True)}
    headers = {name: dates.get(value, value) for name, value in headers.items()}
    _, failure = await outcome([Refuse(429, headers=headers)])
    assert failure.retry_after is not None
    assert least <= failure.retry_after <= most


@pytest.mark.parametrize("text", ["soon", "-1", "1e999", "nan", "inf", ""])
async def test_a_wait_that_is_none_is_not_kept(text: str) -> None:
    _, failure = await outcome([Refuse(429, headers={"Retry-After": text})])
    assert failure.retry_after is None


async def test_nobody_at_the_address_is_unavailable() -> None:
    async with failing("http://127.0.0.1:1/v1") as chat:
        _, failure = await _outcome(chat)
    assert (failure.code, failure.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)


async def test_what_is_not_http_is_a_bad_response() -> None:
    async def rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"\x00\x01 hello\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(rubbish, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with failing(f"http://127.0.0.1:{port}/v1") as chat:
            _, failure = await _outcome(chat)
    assert (failure.code, failure.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, True)
