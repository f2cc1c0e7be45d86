"""What goes wrong with Gemini, at the local server that speaks its wire protocol, and what an asker is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc
import pytest
import structlog
from gemini_questions import KEY, chat_with, collect, failure, failure_of, question
from gemini_server import (
    Cut,
    Fail,
    GeminiServer,
    Raw,
    Say,
    Step,
    Until,
    gemini_server,
    in_time,
    make_certificate,
)

from core.errors import ErrorCode, ProviderError
from providers.base import ChatEvent, ChatFinished, StopReason, TextDelta
from providers.gemini import GeminiChat

END = Say(finish="STOP", usage=(7, 2, 9))


@pytest.fixture
async def server() -> AsyncIterator[GeminiServer]:
    async with gemini_server() as running:
        yield running


@pytest.fixture
async def chat(server: GeminiServer) -> AsyncIterator[GeminiChat]:
    async with aclosing(chat_with(server)) as provider:
        yield provider


STATUS = grpc.StatusCode


@pytest.mark.parametrize(
    ("fail", "code", "retryable"),
    [
        (Fail(STATUS.UNAUTHENTICATED), ErrorCode.PROVIDER_AUTH, False),
        (Fail(STATUS.PERMISSION_DENIED), ErrorCode.PROVIDER_AUTH, False),
        (Fail(STATUS.INVALID_ARGUMENT, "Bad.", reason="API_KEY_INVALID"), ErrorCode.PROVIDER_AUTH, False),
        (
            Fail(STATUS.INVALID_ARGUMENT, "API key not valid. Please pass a valid API key."),
            ErrorCode.PROVIDER_AUTH,
            False,
        ),
        (Fail(STATUS.INVALID_ARGUMENT, "API key expired. Please renew it."), ErrorCode.PROVIDER_AUTH, False),
        (
            Fail(
                STATUS.INVALID_ARGUMENT,
                "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            ),
            ErrorCode.CONTEXT_TOO_LONG,
            False,
        ),
        (
            Fail(STATUS.INVALID_ARGUMENT, "Request payload size exceeds the limit: 20971520 bytes."),
            ErrorCode.CONTEXT_TOO_LONG,
            False,
        ),
        (Fail(STATUS.INVALID_ARGUMENT, "temperature must be in [0, 2]"), ErrorCode.PROVIDER_BAD_RESPONSE, False),
        (Fail(STATUS.FAILED_PRECONDITION, "User location."), ErrorCode.PROVIDER_UNAVAILABLE, False),
        (Fail(STATUS.UNIMPLEMENTED), ErrorCode.PROVIDER_UNAVAILABLE, False),
        (Fail(STATUS.OUT_OF_RANGE), ErrorCode.PROVIDER_BAD_RESPONSE, False),
        (Fail(STATUS.RESOURCE_EXHAUSTED), ErrorCode.PROVIDER_RATE_LIMITED, True),
        (Fail(STATUS.DEADLINE_EXCEEDED), ErrorCode.TIMED_OUT, True),
        (Fail(STATUS.UNAVAILABLE), ErrorCode.PROVIDER_UNAVAILABLE, True),
        (Fail(STATUS.INTERNAL), ErrorCode.PROVIDER_UNAVAILABLE, True),
        (Fail(STATUS.UNKNOWN), ErrorCode.PROVIDER_UNAVAILABLE, True),
        (Fail(STATUS.CANCELLED), ErrorCode.PROVIDER_UNAVAILABLE, True),
    ],
    ids=lambda value: f"{value.code.name} {value.message[:20]}" if isinstance(value, Fail) else "",
)
@pytest.mark.parametrize("said", [[], [Say("a")]], ids=["at once", "after text"])
async def test_a_refused_call_is_told_in_our_words_once_and_at_once(
    server: GeminiServer, chat: GeminiChat, said: list[Step], fail: Fail, code: ErrorCode, retryable: bool
) -> None:
    server.script = [*said, fail]
    with structlog.testing.capture_logs() as logs:
        error = await failure(chat)
    assert (error.code, error.retryable) == (code, retryable)
    assert fail.message not in error.message
    # The vendor's own words are for the operator.
    assert [entry["detail"] for entry in logs if entry["event"] == "gemini_refused"] == [fail.message]
    # Nobody tried again behind our back.
    assert len(server.asked) == 1


async def test_a_rate_limit_says_when_to_come_back(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Fail(STATUS.RESOURCE_EXHAUSTED, retry_after=37.5)]
    error = await failure(chat)
    assert (error.code, error.retryable, error.retry_after) == (ErrorCode.PROVIDER_RATE_LIMITED, True, 37.5)


async def test_a_dead_model_is_told_with_the_setting_that_names_it(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Fail(STATUS.NOT_FOUND, "models/gemini-1.5-flash is not found for API version v1beta")]
    error = await failure(chat, question(model="gemini-1.5-flash"))
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, False)
    assert "'gemini-1.5-flash'" in error.message
    assert "GEMINI_CHAT_MODEL" in error.message


async def test_the_key_is_not_written_to_the_log(server: GeminiServer, chat: GeminiChat) -> None:
    server.script = [Fail(STATUS.PERMISSION_DENIED, f"Consumer 'api_key:{KEY}' has been suspended.")]
    with structlog.testing.capture_logs() as logs:
        await failure(chat)
    assert any("has been suspended" in entry.get("detail", "") for entry in logs)
    assert KEY not in str(logs)


@pytest.mark.parametrize("said", [[], [Say("a")]], ids=["before the first token", "between tokens"])
async def test_silence_times_out_and_ends_the_vendors_call(server: GeminiServer, said: list[Step]) -> None:
    server.script = [*said, Until()]
    async with aclosing(chat_with(server, timeout=1.0)) as chat:
        error = await failure(chat)
        assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)
        await in_time(server.cancelled.wait())


async def test_a_connection_that_breaks_in_an_answer_is_a_failure_and_the_next_answer_works(
    server: GeminiServer, chat: GeminiChat
) -> None:
    break_now = Until()
    server.script = [Say("half of it"), break_now, Cut()]
    stream = chat.stream(question())
    assert await in_time(anext(stream)) == TextDelta("half of it")
    break_now.event.set()
    error = await in_time(failure_of(stream))
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    server.script = [Say("Yes."), END]
    assert (await eventually_answered(chat))[0] == TextDelta("Yes.")


async def test_nobody_at_the_endpoint_is_a_failure_at_once_until_somebody_is(
    server: GeminiServer, chat: GeminiChat
) -> None:
    await server.go_away()
    error = await failure(chat)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    await server.come_back()
    assert (await eventually_answered(chat))[0] == TextDelta("Yes.")


async def eventually_answered(chat: GeminiChat) -> list[ChatEvent]:
    """As a caller that tries again does: gRPC waits half a second before it connects anew, and refuses until then."""
    async with asyncio.timeout(8):
        while True:
            try:
                return await collect(chat)
            except ProviderError as error:
                if error.code is not ErrorCode.PROVIDER_UNAVAILABLE:
                    raise
                await asyncio.sleep(0.1)


async def test_a_server_that_cannot_prove_who_it_is_never_sees_the_key(server: GeminiServer) -> None:
    stranger, _ = make_certificate()
    async with aclosing(GeminiChat(api_key=KEY, endpoint=server.endpoint, root_certificates=stranger)) as chat:
        assert (await failure(chat)).code is ErrorCode.PROVIDER_UNAVAILABLE
    assert server.asked == []


@pytest.mark.parametrize(
    "script",
    [
        [],
        [Say("a")],
        [Say("", finish="STOP")],
        [Say(without_candidate=True)],
        [Say(without_candidate=True, usage=(5, 0, 5))],
        [Say("", finish="MAX_TOKENS")],
        [Say("a", finish="OTHER")],
        [Say("", finish="MALFORMED_FUNCTION_CALL")],
        [Say("a"), Raw(b"\xff\xff\xff")],
        # Candidate.finish_reason = 99, which this SDK does not know.
        [Say("a"), Raw(b"\x0a\x02\x10\x63")],
    ],
    ids=[
        "nothing at all",
        "no end",
        "no text",
        "no candidates",
        "usage alone",
        "all thinking",
        "odd end",
        "tool call",
        "garbage",
        "an end from the future",
    ],
)
async def test_an_answer_that_is_empty_cut_off_or_garbled_is_a_bad_response(
    server: GeminiServer, chat: GeminiChat, script: list[Step]
) -> None:
    server.script = script
    error = await failure(chat)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, True)


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"])
async def test_an_answer_that_the_filter_cuts_ends_with_that_reason_and_keeps_its_usage(
    server: GeminiServer, chat: GeminiChat, reason: str
) -> None:
    server.script = [Say("a"), Say(finish=reason, usage=(3, 1, 4))]
    assert await collect(chat) == [TextDelta("a"), ChatFinished(StopReason.CONTENT_FILTERED, 3, 1)]


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT"])
async def test_a_question_that_the_filter_refuses_is_content_filtered(
    server: GeminiServer, chat: GeminiChat, reason: str
) -> None:
    server.script = [Say(blocked=reason, usage=(3, 0, 3))]
    error = await failure(chat)
    assert (error.code, error.retryable) == (ErrorCode.CONTENT_FILTERED, False)
