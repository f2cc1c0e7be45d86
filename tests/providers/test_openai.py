"""The OpenAI-compatible chat provider against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from core.errors import ConfigurationError, ErrorCode, ProviderError
from openai_server import ANSWER, Data, Done, OpenAIServer, Page, Raw, Refuse, Say, Step, Until, Usage, openai_server
from providers.base import (
    ChatEvent,
    ChatFinished,
    ChatMessage,
    ChatRequest,
    ChatThinking,
    StopReason,
    TextDelta,
)
from providers.openai import OpenAIChat
from wire import in_time

REQUEST = ChatRequest(
    model="",
    temperature=0.2,
    system="Answer briefly.",
    messages=(ChatMessage("user", "Hello."), ChatMessage("assistant", "Hello!"), ChatMessage("user", "And now?")),
    question="And now?",
    passages=(),
)

REFUSAL = [
    Data({"choices": [{"index": 0, "delta": {"role": "assistant", "content": None, "refusal": text}}]})
    for text in ("", "I cannot help", " with that.")
]
"""As OpenAI streams it: each piece is in a place of its own."""


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    async with openai_server() as running:
        yield running


@pytest.fixture
async def chat(server: OpenAIServer) -> AsyncIterator[OpenAIChat]:
    provider = OpenAIChat(api_key="test-key-1", model="gpt-4.1-mini", base_url=server.base_url)
    yield provider
    await provider.aclose()


async def events(chat: OpenAIChat, request: ChatRequest = REQUEST) -> list[ChatEvent]:
    """All that a stream says."""
    async with asyncio.timeout(10), aclosing(chat.stream(request)) as stream:
        return [event async for event in stream]


async def said(chat: OpenAIChat) -> tuple[str, ChatFinished]:
    """The text of a stream that comes to its good end, and the end."""
    *texts, end = await events(chat)
    assert isinstance(end, ChatFinished)
    return "".join(event.text for event in texts if isinstance(event, TextDelta)), end


async def failure(chat: OpenAIChat) -> ProviderError:
    """How a stream fails; no word of the vendor's in it."""
    with pytest.raises(ProviderError) as caught:
        await events(chat)
    assert "internal" not in caught.value.message
    return caught.value


async def test_a_stream_gives_its_text_and_its_counts(chat: OpenAIChat, server: OpenAIServer) -> None:
    assert await said(chat) == ("Yes.", ChatFinished(StopReason.COMPLETE, 7, 2))
    (asked,) = server.asked
    assert asked.body == {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "Answer briefly."},
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "And now?"},
        ],
        "stream": True,
        "temperature": 0.2,
        "stream_options": {"include_usage": True},
    }
    assert asked.headers["authorization"] == "Bearer test-key-1"
    assert asked.headers["content-type"] == "application/json"


async def test_a_server_of_ones_own_is_asked_without_a_key(server: OpenAIServer) -> None:
    provider = OpenAIChat(api_key=None, model="m", base_url=server.base_url + "/")
    try:
        assert (await said(provider))[0] == "Yes."
    finally:
        await provider.aclose()
    assert "authorization" not in server.asked[0].headers
    assert server.asked[0].path == "/v1/chat/completions"


async def test_answers_one_after_another_use_one_connection(chat: OpenAIChat, server: OpenAIServer) -> None:
    for _ in range(3):
        await said(chat)
    assert len({asked.peer for asked in server.asked}) == 1


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([Say("a"), Say("b", finish="stop"), Done()], ("ab", StopReason.COMPLETE, None)),
        ([Say("a"), Say(finish="length"), Usage(3, 4), Done()], ("a", StopReason.LENGTH, 4)),
        ([Say("a"), Say(finish="content_filter"), Done()], ("a", StopReason.CONTENT_FILTERED, None)),
        ([Say(finish="content_filter"), Done()], ("", StopReason.CONTENT_FILTERED, None)),
        ([*REFUSAL, Say(finish="stop"), Usage(3, 4), Done()], ("", StopReason.CONTENT_FILTERED, 4)),
        ([Say("a"), *REFUSAL, Say(finish="stop"), Done()], ("a", StopReason.CONTENT_FILTERED, None)),
        ([*REFUSAL], ("", StopReason.CONTENT_FILTERED, None)),
        (
            [Data({"choices": [{"delta": {"content": "a", "refusal": None}}]}), Say(finish="stop"), Done()],
            ("a", StopReason.COMPLETE, None),
        ),
        ([Say("a"), Done()], ("a", StopReason.COMPLETE, None)),
        ([Say("a"), Say(finish="stop")], ("a", StopReason.COMPLETE, None)),
        ([Say(""), Say(None), Say("a"), Say(""), Say(finish="stop"), Done()], ("a", StopReason.COMPLETE, None)),
        (
            [
                Data({"choices": [{"delta": None}]}),
                Data({"choices": None}),
                Data({"choices": [None]}),
                Data({"choices": []}),
                Data({"choices": [{"delta": {"content": 7}}]}),
                Data({"choices": [{}], "usage": "many"}),
                Data({}),
                *ANSWER,
            ],
            ("Yes.", StopReason.COMPLETE, 2),
        ),
        (
            [Data({"choices": [{"delta": {"content": [{"type": "text", "text": "Ye"}]}}]}), Say("s."), Done()],
            ("Yes.", StopReason.COMPLETE, None),
        ),
        ([Raw(b": keep alive\r\n\r\n"), *ANSWER], ("Yes.", StopReason.COMPLETE, 2)),
        (
            [Raw(b'data: {"choices":\ndata: [{"delta": {"content": "a"}}]}\n\n'), Done()],
            ("a", StopReason.COMPLETE, None),
        ),
        (
            [Raw(b'data: {"choices": [{"delta": {"content": "a\xff\xc3b"}}]}\n\n'), Done()],
            ("a\ufffd\ufffdb", StopReason.COMPLETE, None),
        ),
        (
            [Raw(b'data: {"choices": [{"delta": {"content": "a\\ud83d"}}]}\n\n'), Done()],
            ("a\ud83d", StopReason.COMPLETE, None),
        ),
        ([Say("x" * 1_000_000), Say(finish="stop"), Done()], ("x" * 1_000_000, StopReason.COMPLETE, None)),
    ],
    ids=[
        *(
            "reason beside text",
            "length",
            "filtered in the middle",
            "filtered before",
            "refused",
            "refused later",
            "refused, cut off",
        ),
        *("no refusal", "no reason", "no end"),
        *("empty deltas", "nulls and odd types", "parts", "comments", "several lines", "not UTF-8", "half a pair"),
        "a megabyte at once",
    ],
)
async def test_what_servers_send(
    chat: OpenAIChat, server: OpenAIServer, script: list[Step], expected: tuple[str, StopReason, int | None]
) -> None:
    server.script = script
    text, end = await said(chat)
    assert (text, end.stop_reason, end.output_tokens) == expected


async def test_several_events_in_one_piece_are_one_event_of_ours(chat: OpenAIChat, server: OpenAIServer) -> None:
    one = b'data: {"choices": [{"delta": {"content": "ab"}}]}\n\n'
    server.script = [Raw(one * 3), Until(), Done()]
    async with aclosing(chat.stream(REQUEST)) as stream:
        assert await in_time(anext(stream)) == TextDelta("ababab")


async def test_hidden_thinking_is_a_sign_of_life_and_no_text(chat: OpenAIChat, server: OpenAIServer) -> None:
    thinking: dict[str, Any] = {"choices": [{"delta": {"content": None, "reasoning_content": "hm"}}]}
    server.script = [Data(thinking), Until(), *ANSWER]
    until = server.script[1]
    assert isinstance(until, Until)
    async with aclosing(chat.stream(REQUEST)) as stream:
        assert await in_time(anext(stream)) == ChatThinking()
        until.event.set()
        assert [event async for event in stream] == [TextDelta("Yes."), ChatFinished(StopReason.COMPLETE, 7, 2)]


async def test_a_server_that_sends_no_end_and_does_not_hang_up_is_not_waited_for(
    chat: OpenAIChat, server: OpenAIServer
) -> None:
    server.script = [Say("Yes."), Say(finish="stop"), Until()]
    assert (await said(chat))[0] == "Yes."
    await in_time(server.cancelled.wait())


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("temperature", {"message": "Unsupported value: 'temperature' does not support 0.2", "param": "temperature"}),
        ("stream_options", {"message": "Extra inputs are not permitted", "param": "stream_options"}),
    ],
)
async def test_a_parameter_that_the_model_does_not_take_is_left_out_from_then_on(
    chat: OpenAIChat, server: OpenAIServer, name: str, error: dict[str, Any]
) -> None:
    server.scripts = [[Refuse(400, error)]]
    assert (await said(chat))[0] == "Yes."
    assert (await said(chat))[0] == "Yes."
    assert [name in asked.body for asked in server.asked] == [True, False, False]


async def test_closing_the_stream_closes_the_connection_at_once(chat: OpenAIChat, server: OpenAIServer) -> None:
    server.script = [Say("Yes"), Until()]
    async with aclosing(chat.stream(REQUEST)) as stream:
        assert await in_time(anext(stream)) == TextDelta("Yes")
        assert not server.cancelled.is_set()
    await in_time(server.cancelled.wait())


@pytest.mark.parametrize("script", [[Until()], [Say("Yes"), Until()]], ids=["before its head", "in its body"])
async def test_cancelling_whoever_waits_closes_the_connection_at_once(
    chat: OpenAIChat, server: OpenAIServer, script: list[Step]
) -> None:
    server.script = script
    task = asyncio.create_task(events(chat))
    await in_time(server.arrived.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await in_time(server.cancelled.wait())


async def test_closing_the_provider_ends_what_runs_and_nothing_begins_any_more(
    chat: OpenAIChat, server: OpenAIServer
) -> None:
    server.script = [Say("Yes"), Until()]
    task = asyncio.create_task(failure(chat))
    await in_time(server.arrived.wait())
    await chat.aclose()
    await chat.aclose()
    assert (await in_time(task)).code is ErrorCode.PROVIDER_UNAVAILABLE
    await in_time(server.cancelled.wait())
    assert (await failure(chat)).code is ErrorCode.PROVIDER_UNAVAILABLE


@pytest.mark.parametrize(
    "url", ["api.example.com/v1", "ftp://host/v1", "http:///v1", "http://user:pw@host/v1", "http://host/v1?x=1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_BASE_URL") as caught:
        OpenAIChat(api_key=None, model="m", base_url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("key", ["", " ", "two words", "schlüssel", "a\nb"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        OpenAIChat(api_key=key, model="m")


async def test_the_check_at_start_tells_key_and_model_apart_and_forgives_a_server_that_cannot_say(
    chat: OpenAIChat, server: OpenAIServer
) -> None:
    await chat.check_model()
    server.models_status = 401
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
        await chat.check_model()
    for status in (404, 500, 501):
        server.models_status = status
        await chat.check_model()
    server.models_status = 200
    server.models = {"another"}
    with pytest.raises(ConfigurationError, match=r"OPENAI_CHAT_MODEL.*gpt-4\.1-mini"):
        await chat.check_model()
    await server.stop()
    await chat.check_model()


async def test_a_page_in_the_place_of_a_stream_is_not_read_as_an_answer(chat: OpenAIChat, server: OpenAIServer) -> None:
    server.script = [Page("<p>Log in first.</p>", "text/html")]
    assert (await failure(chat)).code is ErrorCode.PROVIDER_BAD_RESPONSE
