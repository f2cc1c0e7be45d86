"""Anthropic's Messages API as a chat provider, against a server that speaks its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace

import pytest

from anthropic_server import (
    ANSWER,
    AnthropicServer,
    Begin,
    Block,
    Data,
    End,
    Ping,
    Raw,
    Refuse,
    Say,
    Step,
    Stop,
    Think,
    Until,
    anthropic_server,
)
from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers.anthropic import AnthropicChat
from providers.base import ChatEvent, ChatFinished, ChatMessage, ChatRequest, ChatThinking, StopReason, TextDelta
from wire import in_time

REQUEST = ChatRequest(
    model="",
    temperature=0.2,
    system="Answer briefly.",
    messages=(ChatMessage("user", "Hello."), ChatMessage("assistant", "Hello!"), ChatMessage("user", "And now?")),
    question="And now?",
    passages=(),
)


@pytest.fixture
async def server() -> AsyncIterator[AnthropicServer]:
    async with anthropic_server() as running:
        yield running


@pytest.fixture
async def chat(server: AnthropicServer) -> AsyncIterator[AnthropicChat]:
    async with aclosing(chat_with(server)) as provider:
        yield provider


def chat_with(server: AnthropicServer, *, api_key: str | None = "test-key-1", timeout: float = 5.0) -> AnthropicChat:
    # The stand-in's address ends in `/v1`, which is taken as well as without it.
    return AnthropicChat(api_key=api_key, model="claude-sonnet-4-6", base_url=server.base_url, timeout=timeout)


async def events(chat: AnthropicChat, request: ChatRequest = REQUEST) -> list[ChatEvent]:
    """All that a stream says."""
    async with asyncio.timeout(10), aclosing(chat.stream(request)) as stream:
        return [event async for event in stream]


async def said(chat: AnthropicChat, request: ChatRequest = REQUEST) -> tuple[str, ChatFinished]:
    """The text of a stream that comes to its good end, and the end."""
    *texts, end = await events(chat, request)
    assert isinstance(end, ChatFinished)
    return "".join(event.text for event in texts if isinstance(event, TextDelta)), end


async def test_a_stream_gives_its_text_and_its_counts(chat: AnthropicChat, server: AnthropicServer) -> None:
    assert await said(chat) == ("Yes.", ChatFinished(StopReason.COMPLETE, 7, 2))
    (asked,) = server.asked
    assert asked.body == {
        "model": "claude-sonnet-4-6",
        "max_tokens": 8192,
        "system": "Answer briefly.",
        "messages": [
            {"role": "user", "content": "Hello."},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "And now?"},
        ],
        "stream": True,
        "temperature": 0.2,
    }
    assert asked.path == "/v1/messages"
    assert asked.headers["x-api-key"] == "test-key-1"
    assert asked.headers["anthropic-version"] == "2023-06-01"
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers


async def test_what_the_api_would_refuse_is_put_right(chat: AnthropicChat, server: AnthropicServer) -> None:
    cut = (ChatMessage("assistant", "Hello!"), ChatMessage("assistant", " \n"), ChatMessage("user", "And now?"))
    await said(chat, replace(REQUEST, messages=cut, temperature=1.5, system="", model="claude-haiku-4-5"))
    assert server.asked[0].body == {
        "model": "claude-haiku-4-5",
        "max_tokens": 8192,
        "messages": [
            {"role": "user", "content": "(Earlier messages are left out.)"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "And now?"},
        ],
        "stream": True,
        "temperature": 1.0,
    }


async def test_answers_one_after_another_use_one_connection(chat: AnthropicChat, server: AnthropicServer) -> None:
    for _ in range(3):
        await said(chat)
    assert len({asked.peer for asked in server.asked}) == 1


async def test_a_gateway_of_ones_own_is_asked_without_a_key(server: AnthropicServer) -> None:
    async with aclosing(chat_with(server, api_key=None)) as provider:
        assert (await said(provider))[0] == "Yes."
    assert "x-api-key" not in server.asked[0].headers


TEXT: list[Step] = [Begin(), Block(), Say("a")]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ([*TEXT, Stop("max_tokens", 8192), End()], ("a", StopReason.LENGTH, 7, 8192)),
        ([*TEXT, Stop("model_context_window_exceeded"), End()], ("a", StopReason.LENGTH, 7, 2)),
        ([*TEXT, Stop("stop_sequence"), End()], ("a", StopReason.COMPLETE, 7, 2)),
        ([*TEXT, Stop("refusal"), End()], ("a", StopReason.CONTENT_FILTERED, 7, 2)),
        ([Begin(), Stop("refusal", 0), End()], ("", StopReason.CONTENT_FILTERED, 7, 0)),
        ([*TEXT, Stop(written=None), End()], ("a", StopReason.COMPLETE, 7, None)),
        ([*TEXT, End()], ("a", StopReason.COMPLETE, 7, None)),
        ([*TEXT, Stop()], ("a", StopReason.COMPLETE, 7, 2)),
        ([Block(), Say("a"), Stop(), End()], ("a", StopReason.COMPLETE, None, 2)),
        (
            [Begin(3, written_to_cache=20, read_from_cache=100), Block(), Say("a"), Stop(), End()],
            ("a", StopReason.COMPLETE, 123, 2),
        ),
        (
            [
                *TEXT,
                Data({"type": "message_delta", "delta": {}, "usage": {"input_tokens": 9, "output_tokens": 5}}),
                End(),
            ],
            ("a", StopReason.COMPLETE, 9, 5),
        ),
        (
            [Begin(), Block(text="a"), Say("b"), Stop(), Block(), Say("c"), Stop(), End()],
            ("abc", StopReason.COMPLETE, 7, 2),
        ),
        (
            [
                Ping(),
                Data({"type": "a_new_event", "delta": {"text": "no"}}),
                Data({"type": 7}),
                Data({}),
                Data({"type": "content_block_delta", "delta": None}),
                Data({"type": "content_block_delta", "delta": {"type": "text_delta", "text": 7}}),
                Data({"type": "content_block_delta", "delta": {"type": "citations_delta", "text": "no"}}),
                Data({"type": "content_block_start", "content_block": []}),
                Data({"type": "message_start", "message": None}),
                Data({"type": "message_delta", "delta": None, "usage": "many"}),
                *ANSWER,
            ],
            ("Yes.", StopReason.COMPLETE, 7, 2),
        ),
        ([*TEXT, Raw(b": comment\r\n\r\n"), Stop(), End()], ("a", StopReason.COMPLETE, 7, 2)),
        ([*TEXT, Say("x" * 1_000_000), Stop(), End()], ("a" + "x" * 1_000_000, StopReason.COMPLETE, 7, 2)),
    ],
    ids=[
        *("length", "window", "sequence", "refused later", "refused at once", "no count", "no reason", "no end"),
        *("no start", "cached", "counts at the end", "two blocks", "nulls and what is new", "comment", "a megabyte"),
    ],
)
async def test_what_the_vendor_sends(
    chat: AnthropicChat,
    server: AnthropicServer,
    script: list[Step],
    expected: tuple[str, StopReason, int | None, int | None],
) -> None:
    server.script = script
    text, end = await said(chat)
    assert (text, end.stop_reason, end.input_tokens, end.output_tokens) == expected


async def test_a_character_that_comes_in_two_pieces_is_one(chat: AnthropicChat, server: AnthropicServer) -> None:
    first, second = (_delta(text).encode() for text in ("Ør", "så 🙂"))
    cut, later = first.index("Ø".encode()) + 1, second.index("🙂".encode()) + 2
    waits = [Until(), Until()]
    # What is whole in a piece comes out of it, so the rest of the piece has been read when the next one is sent.
    server.script = [
        *(Begin(), Block(), Raw(_delta("a").encode() + first[:cut]), waits[0]),
        *(Raw(first[cut:] + second[:later]), waits[1], Raw(second[later:]), Stop(), End()),
    ]
    async with aclosing(chat.stream(REQUEST)) as stream:
        for wait, text in zip(waits, ("a", "Ør"), strict=True):
            assert await in_time(anext(stream)) == TextDelta(text)
            wait.event.set()
        assert [event async for event in stream] == [TextDelta("så 🙂"), ChatFinished(StopReason.COMPLETE, 7, 2)]


def _delta(text: str) -> str:
    """An event with its characters as they are, not escaped."""
    data = f'{{"type": "content_block_delta", "index": 0, "delta": {{"type": "text_delta", "text": "{text}"}}}}'
    return f"event: content_block_delta\ndata: {data}\n\n"


async def test_thinking_is_a_sign_of_life_and_no_text_and_a_ping_is_neither(
    chat: AnthropicChat, server: AnthropicServer
) -> None:
    rest = Until()
    server.script = [Begin(), Ping(), Block("thinking"), Think("hm"), rest, Ping(), *ANSWER[1:]]
    async with aclosing(chat.stream(REQUEST)) as stream:
        assert await in_time(anext(stream)) == ChatThinking()
        rest.event.set()
        said = [event async for event in stream if not isinstance(event, ChatThinking)]
    assert said == [TextDelta("Yes."), ChatFinished(StopReason.COMPLETE, 7, 2)]
    server.script = [Begin(), Ping(), Ping(), Until()]
    async with aclosing(chat.stream(REQUEST)) as stream:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await anext(stream)


async def test_a_model_that_takes_no_temperature_is_asked_without_it_from_then_on(
    chat: AnthropicChat, server: AnthropicServer
) -> None:
    error = {"type": "invalid_request_error", "message": "`temperature` is deprecated for this model."}
    server.scripts = [[Refuse(400, error)]]
    assert (await said(chat))[0] == "Yes."
    assert (await said(chat))[0] == "Yes."
    assert ["temperature" in asked.body for asked in server.asked] == [True, False, False]


async def test_closing_the_stream_closes_the_connection_at_once(chat: AnthropicChat, server: AnthropicServer) -> None:
    server.script = [Begin(), Block(), Say("Yes"), Until()]
    async with aclosing(chat.stream(REQUEST)) as stream:
        assert await in_time(anext(stream)) == TextDelta("Yes")
        assert not server.cancelled.is_set()
    await in_time(server.cancelled.wait())


async def test_the_vendor_counts_tokens(chat: AnthropicChat, server: AnthropicServer) -> None:
    assert await chat.count_tokens("How many?", model="") == 12
    assert await chat.count_tokens("How many?", model="claude-haiku-4-5") == 12
    assert server.counted == [
        {"model": model, "messages": [{"role": "user", "content": "How many?"}]}
        for model in ("claude-sonnet-4-6", "claude-haiku-4-5")
    ]


@pytest.mark.parametrize(
    ("fault", "count", "code"),
    [
        (Refuse(429), 0, "PROVIDER_RATE_LIMITED"),
        (Refuse(404, {"type": "not_found_error", "message": "Not Found"}), 0, "PROVIDER_UNAVAILABLE"),
        (None, "many", "PROVIDER_BAD_RESPONSE"),
        (None, -1, "PROVIDER_BAD_RESPONSE"),
        (Until(), 0, "TIMED_OUT"),
    ],
    ids=["429", "no such counter", "no number", "negative", "silence"],
)
async def test_a_count_that_fails_has_its_code(
    server: AnthropicServer, fault: Refuse | Until | None, count: object, code: str
) -> None:
    server.count_fault, server.count = fault, count
    async with aclosing(chat_with(server, timeout=0.5)) as chat:
        with pytest.raises(ProviderError) as caught:
            await in_time(chat.count_tokens("How many?", model=""))
    assert caught.value.code is ErrorCode[code]


@pytest.mark.parametrize("url", ["api.anthropic.com", "http://user:pw@host", "http://host?x=1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ANTHROPIC_BASE_URL") as caught:
        AnthropicChat(api_key=None, model="m", base_url=url)
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "two words", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused(key: str) -> None:
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        AnthropicChat(api_key=key, model="m")


async def test_the_check_at_start_tells_key_and_model_apart(chat: AnthropicChat, server: AnthropicServer) -> None:
    await chat.check_model()
    server.models = {"claude-haiku-4-5"}
    with pytest.raises(ConfigurationError, match=r"ANTHROPIC_MODEL.*claude-sonnet-4-6"):
        await chat.check_model()
    server.models_status = 401
    with pytest.raises(ConfigurationError, match="ANTHROPIC_API_KEY"):
        await chat.check_model()
    server.models_status = 529
    await chat.check_model()
