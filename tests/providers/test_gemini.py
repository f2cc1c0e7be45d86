"""Gemini's chat over the real SDK, against a local server that speaks the vendor's wire protocol over TLS."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest
import structlog
from gemini_questions import KEY, chat_with, collect, failure, failure_of, question
from gemini_server import (
    Fail,
    GeminiServer,
    Pause,
    Say,
    Step,
    Until,
    gemini_server,
    in_time,
)

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers.base import ChatFinished, StopReason, TextDelta
from providers.gemini import GeminiChat

END = Say(finish="STOP", usage=(7, 2, 9))
STATUS = grpc.StatusCode


@pytest.fixture
async def server() -> AsyncIterator[GeminiServer]:
    async with gemini_server() as running:
        yield running


@pytest.fixture
async def chat(server: GeminiServer) -> AsyncIterator[GeminiChat]:
    async with aclosing(chat_with(server)) as provider:
        yield provider


# --- an answer


async def test_text_arrives_as_it_is_said_and_ends_with_the_usage(server: GeminiServer, chat: GeminiChat) -> None:
    go_on = Until()
    server.script = [Say("A colloquy "), go_on, Say("is a talk."), Say(finish="STOP", usage=(41, 5, 46))]
    async with aclosing(chat.stream(question())) as events:
        assert await in_time(anext(events)) == TextDelta("A colloquy ")
        go_on.event.set()
        assert [event async for event in events] == [
            TextDelta("is a talk."),
            ChatFinished(StopReason.COMPLETE, input_tokens=41, output_tokens=5),
        ]


async def test_the_request_carries_prompt_history_temperature_model_and_key(
    server: GeminiServer, chat: GeminiChat
) -> None:
    await collect(chat, question("Why? \ud800", model="gemini-2.5-pro"))
    (asked,) = server.asked
    assert asked.message.model == "models/gemini-2.5-pro"
    assert asked.message.system_instruction.parts[0].text == "Answer only from the context."
    assert [(turn.role, turn.parts[0].text) for turn in asked.message.contents] == [
        ("user", "Hello"),
        ("model", "Hello to you"),
        ("user", "Why? ?"),  # a lone surrogate cannot be sent
    ]
    assert asked.message.generation_config.temperature == 0.25
    assert asked.metadata["x-goog-api-key"] == KEY
    assert asked.metadata["x-goog-api-client"].startswith("genai-py/")


async def test_without_a_model_in_the_request_the_configured_one_is_asked(
    server: GeminiServer, chat: GeminiChat
) -> None:
    await collect(chat, question(model=""))
    assert server.asked[0].message.model == "models/gemini-2.5-flash"


async def test_the_vendor_counts_tokens(server: GeminiServer, chat: GeminiChat) -> None:
    assert await chat.count_tokens("one two three", model="") == 3
    (asked,) = server.asked
    assert (asked.method, asked.message.model) == ("CountTokens", "models/gemini-2.5-flash")
    assert asked.metadata["x-goog-api-key"] == KEY
    server.count_script = [Fail(STATUS.RESOURCE_EXHAUSTED)]
    with pytest.raises(ProviderError) as refused:
        await chat.count_tokens("one two three", model="gemini-2.5-pro")
    assert refused.value.code is ErrorCode.PROVIDER_RATE_LIMITED


async def test_two_keys_live_in_one_process(server: GeminiServer, chat: GeminiChat) -> None:
    async with aclosing(chat_with(server, key=" test-key-2\n")) as other:
        await asyncio.gather(collect(chat), collect(other))
    assert {asked.metadata["x-goog-api-key"] for asked in server.asked} == {KEY, "test-key-2"}


async def test_a_stop_in_every_chunk_does_not_cut_the_answer(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("one ", finish="STOP"), Say("two", finish="STOP", usage=(1, 2, 3))]
    assert await collect(chat) == [TextDelta("one "), TextDelta("two"), ChatFinished(StopReason.COMPLETE, 1, 2)]


async def test_the_last_reason_is_the_one_that_counts(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("one ", finish="STOP"), Say(finish="SAFETY")]
    assert await collect(chat) == [TextDelta("one "), ChatFinished(StopReason.CONTENT_FILTERED, None, None)]


async def test_hidden_thinking_counts_as_output(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("42", finish="STOP", usage=(10, 1, 300))]
    assert (await collect(chat))[-1] == ChatFinished(StopReason.COMPLETE, 10, 290)


async def test_an_answer_without_usage_has_unknown_counts(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("42", finish="STOP")]
    assert (await collect(chat))[-1] == ChatFinished(StopReason.COMPLETE, None, None)


async def test_an_answer_at_its_length_limit_says_so(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("and so on"), Say(finish="MAX_TOKENS", usage=(1, 2, 3))]
    assert (await collect(chat))[-1] == ChatFinished(StopReason.LENGTH, 1, 2)


async def test_an_answer_may_take_longer_than_the_timeout_as_long_as_it_goes_on(server: GeminiServer) -> None:
    server.script = [Say("a"), Pause(0.7), Say("b"), Pause(0.7), Say("c"), Pause(0.7), END]
    async with aclosing(chat_with(server, timeout=2.0)) as chat:
        assert len(await collect(chat)) == 4
    assert server.asked[0].deadline is None  # the SDK's own default is 60 s for the whole call


async def test_more_answers_at_once_than_a_connection_takes_get_a_second_one(
    server: GeminiServer, chat: GeminiChat
) -> None:
    finish = Until()
    server.script = [Say("a"), finish, END]
    streams = [chat.stream(question()) for _ in range(91)]
    await in_time(asyncio.gather(*(anext(stream) for stream in streams)))
    assert len({asked.peer for asked in server.asked}) == 2
    finish.event.set()
    for stream in streams:
        assert [event async for event in stream] == [ChatFinished(StopReason.COMPLETE, 7, 2)]
    await collect(chat)
    assert len({asked.peer for asked in server.asked}) == 2


# --- the end of a call


async def test_closing_the_stream_ends_the_vendors_call(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Say("a"), Until()]
    stream = chat.stream(question())
    assert await in_time(anext(stream)) == TextDelta("a")
    await stream.aclose()
    await in_time(server.cancelled.wait())


@pytest.mark.parametrize("said", [[], [Say("a")]], ids=["before the first token", "between tokens"])
async def test_cancelling_the_task_ends_the_vendors_call(
    server: GeminiServer, chat: GeminiChat, said: list[Step]
) -> None:
    server.script = [*said, Until()]
    task = asyncio.create_task(collect(chat))
    await in_time(server.arrived.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_time(task)
    await in_time(server.cancelled.wait())


async def test_closing_the_provider_fails_its_running_answers_and_cancels_nobodys_task(
    server: GeminiServer, chat: GeminiChat
) -> None:
    server.script = [Say("a"), Until()]
    stream = chat.stream(question())
    await in_time(anext(stream))
    waiting = asyncio.create_task(failure_of(stream))
    await asyncio.sleep(0)  # lets the task begin to wait
    await chat.aclose()
    error = await in_time(waiting)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    await in_time(server.cancelled.wait())
    assert (await failure(chat)).code is ErrorCode.PROVIDER_UNAVAILABLE
    await chat.aclose()


async def test_a_provider_closed_before_its_first_call_refuses_it(server: GeminiServer) -> None:
    chat = chat_with(server)
    await chat.aclose()
    assert (await failure(chat)).code is ErrorCode.PROVIDER_UNAVAILABLE
    assert server.asked == []


# --- settings


async def test_a_living_model_passes_the_check(server: GeminiServer, chat: GeminiChat) -> None:
    await chat.check_model()
    assert server.asked[0].message.name == "models/gemini-2.5-flash"


async def test_a_model_that_cannot_write_is_refused_at_start(server: GeminiServer) -> None:
    async with aclosing(chat_with(server, model="gemini-embedding-001")) as chat:
        with pytest.raises(ConfigurationError, match=r"GEMINI_CHAT_MODEL.*cannot do generateContent.*embedContent"):
            await chat.check_model()


async def test_a_dead_model_is_refused_at_start(server: GeminiServer) -> None:
    async with aclosing(chat_with(server, model="gemini-1.5-flash")) as chat:
        with pytest.raises(ConfigurationError, match=r"GEMINI_CHAT_MODEL.*'gemini-1\.5-flash'"):
            await chat.check_model()


async def test_a_refused_key_is_told_at_start(server: GeminiServer, chat: GeminiChat) -> None:
    server.model_script = [Fail(STATUS.INVALID_ARGUMENT, "API key not valid.", reason="API_KEY_INVALID")]
    with pytest.raises(ConfigurationError, match="GEMINI_API_KEY"):
        await chat.check_model()


@pytest.mark.parametrize(
    "step",
    [Fail(STATUS.UNAVAILABLE), Fail(STATUS.RESOURCE_EXHAUSTED), Fail(STATUS.UNIMPLEMENTED), Until()],
    ids=["down", "busy", "a gateway without models", "silent"],
)
async def test_a_vendor_that_gives_no_answer_does_not_stop_the_start(server: GeminiServer, step: Step) -> None:
    server.model_script = [step]
    async with aclosing(chat_with(server, timeout=0.5)) as chat:
        with structlog.testing.capture_logs() as logs:
            await chat.check_model()
    assert "gemini_model_not_checked" in [entry["event"] for entry in logs]


@pytest.mark.parametrize("key", ["", "  ", "two words", "kéy", "line\nbreak"])
def test_a_key_that_cannot_be_sent_is_refused_with_its_setting(key: str) -> None:
    with pytest.raises(ConfigurationError, match="GEMINI_API_KEY"):
        GeminiChat(api_key=key)


def test_an_endpoint_with_a_scheme_is_refused_with_its_setting() -> None:
    with pytest.raises(ConfigurationError, match="GEMINI_ENDPOINT"):
        GeminiChat(api_key=KEY, endpoint="https://gateway.example:443")


# --- the SDK


def test_making_a_provider_does_not_load_the_sdk() -> None:
    run_python(
        "import sys\n"
        "from providers.gemini import GeminiChat, GeminiEmbeddings\n"
        "GeminiChat(api_key='k'), GeminiEmbeddings(api_key='k')\n"
        # `google` itself is a namespace package that its .pth file makes at every start of Python.
        "loaded = [name for name in sys.modules if name.startswith(('grpc', 'google.', 'googleapiclient'))]\n"
        "assert not loaded, loaded\n"
    )


def test_loading_the_sdk_warns_nobody() -> None:
    run_python("import providers.gemini.wire\n")


def run_python(code: str) -> None:
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=15)
