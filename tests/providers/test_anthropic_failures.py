"""What each error of Anthropic's becomes, in the place of a stream and in the middle of one."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from anthropic_server import (
    Begin,
    Block,
    Cut,
    Data,
    End,
    Fail,
    Page,
    Ping,
    Raw,
    Refuse,
    Say,
    Step,
    Stop,
    anthropic_server,
)
from core.errors import ErrorCode, ProviderError
from providers.anthropic import AnthropicChat
from providers.base import ChatMessage, ChatRequest, TextDelta
from providers.http.event_stream import MAX_EVENT_BYTES

REQUEST = ChatRequest("claude-m", 0.2, "", (ChatMessage("user", "?"),), "?", ())
SECRET = "internal text of the vendor"


async def outcome(script: list[Step]) -> tuple[str, ProviderError]:
    """The text that came out, and the error after it; no word of the vendor's in it."""
    async with anthropic_server() as server:
        server.script = script
        async with aclosing(AnthropicChat(api_key="k", model="m", base_url=server.base_url)) as chat:
            texts: list[str] = []
            with pytest.raises(ProviderError) as caught:
                await _read(chat, texts)
        assert len(server.asked) == 1
    assert SECRET not in caught.value.message
    return "".join(texts), caught.value


async def _read(chat: AnthropicChat, texts: list[str]) -> None:
    async with asyncio.timeout(10), aclosing(chat.stream(REQUEST)) as stream:
        async for event in stream:
            assert isinstance(event, TextDelta)
            texts.append(event.text)


def error(kind: str, message: str = SECRET) -> dict[str, Any]:
    return {"type": kind, "message": message}


@pytest.mark.parametrize(
    ("refusal", "code", "retryable"),
    [
        (Refuse(401, error("authentication_error")), "PROVIDER_AUTH", False),
        (Refuse(403, error("permission_error")), "PROVIDER_AUTH", False),
        (Refuse(402, error("billing_error")), "PROVIDER_RATE_LIMITED", False),
        (
            Refuse(400, error("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")),
            "PROVIDER_RATE_LIMITED",
            False,
        ),
        (Refuse(429, error("rate_limit_error")), "PROVIDER_RATE_LIMITED", True),
        (Refuse(529, error("overloaded_error", "Overloaded")), "PROVIDER_UNAVAILABLE", True),
        (Refuse(500, error("api_error")), "PROVIDER_UNAVAILABLE", True),
        (Refuse(504, error("timeout_error")), "TIMED_OUT", True),
        (Refuse(413, error("request_too_large")), "CONTEXT_TOO_LONG", False),
        (
            Refuse(400, error("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")),
            "CONTEXT_TOO_LONG",
            False,
        ),
        (
            Refuse(
                400, error("invalid_request_error", "input length and `max_tokens` exceed context limit: 1 + 2 > 3")
            ),
            "CONTEXT_TOO_LONG",
            False,
        ),
        (
            Refuse(400, error("invalid_request_error", "Output blocked by content filtering policy")),
            "CONTENT_FILTERED",
            False,
        ),
        (Refuse(400, error("invalid_request_error")), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, error("not_found_error", "model: claude-m")), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, error("not_found_error", "Not Found")), "PROVIDER_UNAVAILABLE", False),
        (Page("Bad gateway", "text/html"), "PROVIDER_BAD_RESPONSE", True),
        (Page("{}", "application/json"), "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=lambda value: f"{value.status}-{value.error['message']}"[:45] if isinstance(value, Refuse) else None,
)
async def test_a_refusal_has_its_code(refusal: Step, code: str, retryable: bool) -> None:
    text, failure = await outcome([refusal])
    assert (text, failure.code.value, failure.retryable) == ("", code, retryable)


async def test_settings_are_named_where_they_are_at_fault() -> None:
    _, failure = await outcome([Refuse(404, error("not_found_error", "model: claude-m"))])
    assert failure.message == (
        "The AI provider has no model 'claude-m'. Choose another, or set ANTHROPIC_MODEL to one that it has."
    )
    _, failure = await outcome([Refuse(404, error("not_found_error", "Not Found"))])
    assert "ANTHROPIC_BASE_URL" in failure.message


@pytest.mark.parametrize(
    ("end", "code", "retryable"),
    [
        ([Fail("overloaded_error")], "PROVIDER_UNAVAILABLE", True),
        ([Fail("api_error")], "PROVIDER_UNAVAILABLE", True),
        ([Fail("rate_limit_error")], "PROVIDER_RATE_LIMITED", True),
        ([Fail("timeout_error")], "TIMED_OUT", True),
        ([Fail("authentication_error")], "PROVIDER_AUTH", False),
        ([Fail("invalid_request_error")], "PROVIDER_BAD_RESPONSE", False),
        ([Fail("invalid_request_error", "prompt is too long")], "CONTEXT_TOO_LONG", False),
        ([Fail("a_new_error")], "PROVIDER_UNAVAILABLE", True),
        ([Data({"type": "error"})], "PROVIDER_UNAVAILABLE", True),
        ([Data({"type": "error", "error": {"type": ["odd"]}})], "PROVIDER_UNAVAILABLE", True),
        ([Cut()], "PROVIDER_UNAVAILABLE", True),
        ([], "PROVIDER_UNAVAILABLE", True),
        ([Data("{not json")], "PROVIDER_BAD_RESPONSE", True),
        ([Data("[]")], "PROVIDER_BAD_RESPONSE", True),
        ([Raw(b"data: \xff\xfe\n\n")], "PROVIDER_BAD_RESPONSE", True),
        ([Raw(b"data: " + b"x" * (MAX_EVENT_BYTES + 1))], "PROVIDER_BAD_RESPONSE", True),
        ([Stop("tool_use"), End()], "PROVIDER_BAD_RESPONSE", True),
        ([Stop("pause_turn"), End()], "PROVIDER_BAD_RESPONSE", True),
    ],
    ids=[
        *(
            "overloaded",
            "api",
            "rate limit",
            "timeout",
            "key",
            "invalid",
            "too long",
            "new error",
            "no error",
            "odd error",
        ),
        *("cut", "closed", "not JSON", "a list", "not UTF-8", "event too long", "tool", "pause"),
    ],
)
async def test_what_was_said_before_it_broke_is_kept(end: list[Step], code: str, retryable: bool) -> None:
    text, failure = await outcome([Begin(), Block(), Ping(), Say("Yes, "), Say("but"), *end])
    assert (text, failure.code.value, failure.retryable) == ("Yes, but", code, retryable)


@pytest.mark.parametrize(
    "script",
    [[], [Begin()], [Begin(), End()], [Begin(), Block(), Stop(), End()], [Begin(), Stop("max_tokens"), End()]],
    ids=["nothing", "a start", "an end", "an empty block", "length alone"],
)
async def test_an_answer_without_text_is_none(script: list[Step]) -> None:
    text, failure = await outcome(script)
    assert (text, failure.code, failure.retryable) == ("", ErrorCode.PROVIDER_BAD_RESPONSE, True)


async def test_how_long_the_vendor_wants_to_be_left_alone() -> None:
    for status, kind in ((429, "rate_limit_error"), (529, "overloaded_error")):
        _, failure = await outcome([Refuse(status, error(kind), {"retry-after": "7"})])
        assert failure.retry_after == 7
