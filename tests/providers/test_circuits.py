"""When a provider is left alone, by whose failures, and for how long."""

from __future__ import annotations

from contextlib import suppress

import pytest

from core.errors import ErrorCode, FailureError, ProviderError
from core.ids import TenantId, new_id
from core.settings import Settings
from providers import circuits
from providers.circuits import CircuitOpenError, Circuits, CircuitState
from providers.own_keys import OwnKey

PAUSE = 20.0
CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


class Clock:
    """The circuits' time, set forward by tests."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def found(clock: Clock) -> Circuits:
    return Circuits(Settings(provider_circuit_failures=3, provider_circuit_pause=PAUSE), clock)


def key(sealed: str = "a") -> OwnKey:
    return OwnKey(TenantId(new_id()), "openai", sealed)


def fail(
    found: Circuits, code: ErrorCode = ErrorCode.TIMED_OUT, own: OwnKey | None = None, *, retryable: bool = True
) -> None:
    with pytest.raises(ProviderError), found.call("openai", own):
        raise ProviderError(code, "no", retryable=retryable)


def state(found: Circuits, own: OwnKey | None = None) -> CircuitState:
    return found.health("openai", own).state


def test_after_so_many_failures_in_a_row_nobody_asks(found: Circuits, clock: Clock) -> None:
    fail(found)
    fail(found)
    with found.call("openai", None):
        pass
    fail(found)
    fail(found)
    assert state(found) is CLOSED
    fail(found)
    assert state(found) is OPEN
    clock.now += 5
    with pytest.raises(CircuitOpenError) as caught, found.call("openai", None):
        raise AssertionError("asked")
    assert (caught.value.code, caught.value.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    assert caught.value.retry_after == PAUSE - 5
    with found.call("gemini", None):
        pass


@pytest.mark.parametrize(
    ("code", "retryable", "opens"),
    [
        (ErrorCode.PROVIDER_AUTH, False, True),
        (ErrorCode.PROVIDER_RATE_LIMITED, True, True),
        (ErrorCode.PROVIDER_UNAVAILABLE, True, True),
        (ErrorCode.TIMED_OUT, True, True),
        (ErrorCode.PROVIDER_BAD_RESPONSE, True, True),
        # It has no such model, or does not take the request: an answer.
        (ErrorCode.PROVIDER_BAD_RESPONSE, False, False),
        (ErrorCode.CONTENT_FILTERED, False, False),
        (ErrorCode.CONTEXT_TOO_LONG, False, False),
    ],
)
def test_what_the_provider_answers_is_no_failure(
    found: Circuits, code: ErrorCode, retryable: bool, opens: bool
) -> None:
    for _ in range(3):
        fail(found, code, retryable=retryable)
    health = found.health("openai", None)
    assert (health.state is OPEN, health.failures, health.calls) == (opens, 3 if opens else 0, 3)
    assert health.last_failure_code is (code if opens else None)


def test_after_the_pause_one_call_finds_out(found: Circuits, clock: Clock) -> None:
    for _ in range(3):
        fail(found)
    clock.now += PAUSE
    assert state(found) is HALF_OPEN
    with found.call("openai", None):
        # The others do not wait for it, and are not asked either.
        with pytest.raises(CircuitOpenError), found.call("openai", None):
            raise AssertionError("asked")
        clock.now += 1
    assert state(found) is CLOSED
    fail(found)
    assert state(found) is CLOSED


def test_a_call_that_finds_out_and_fails_begins_the_pause_again(found: Circuits, clock: Clock) -> None:
    for _ in range(3):
        fail(found)
    clock.now += PAUSE
    fail(found)
    assert state(found) is OPEN
    clock.now += PAUSE - 1
    assert state(found) is OPEN
    clock.now += 1
    assert state(found) is HALF_OPEN


def test_a_call_that_somebody_ends_tells_nothing_and_the_next_one_finds_out(found: Circuits, clock: Clock) -> None:
    for _ in range(3):
        fail(found)
    clock.now += PAUSE
    for error in (FailureError(ErrorCode.INTERRUPTED, "stopped"), KeyboardInterrupt()):
        with suppress(FailureError, KeyboardInterrupt), found.call("openai", None):
            raise error
        assert state(found) is HALF_OPEN
    with found.call("openai", None):
        pass
    assert state(found) is CLOSED


def test_calls_that_were_under_way_do_not_make_the_pause_longer(found: Circuits, clock: Clock) -> None:
    with suppress(ProviderError), found.call("openai", None):
        for _ in range(3):
            fail(found)
        clock.now += 10
        raise ProviderError(ErrorCode.TIMED_OUT, "late", retryable=True)
    clock.now += PAUSE - 10
    assert state(found) is HALF_OPEN


def test_a_key_s_failures_are_its_own_and_a_new_key_begins_anew(found: Circuits) -> None:
    mine, theirs = key(), key()
    for _ in range(3):
        fail(found, ErrorCode.PROVIDER_AUTH, mine)
    assert [state(found, own) for own in (mine, theirs, None)] == [OPEN, CLOSED, CLOSED]
    with pytest.raises(CircuitOpenError, match="own key"), found.call("openai", mine):
        raise AssertionError("asked")
    for own in (theirs, None, OwnKey(mine.tenant_id, "openai", "another")):
        with found.call("openai", own):
            pass


def test_health_is_of_the_last_five_minutes(found: Circuits, clock: Clock) -> None:
    assert found.health("openai", None).failure_rate is None
    fail(found)
    clock.now += circuits.WINDOW_SECONDS / 2
    for _ in range(3):
        with found.call("openai", None):
            pass
    assert found.health("openai", None).failure_rate == 0.25
    clock.now += circuits.WINDOW_SECONDS / 2 + 1
    health = found.health("openai", None)
    assert (health.calls, health.failure_rate) == (3, 0.0)
    assert health.last_failure_at is not None


def test_circuits_of_keys_are_forgotten_beyond_so_many(found: Circuits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuits, "MOST_CIRCUITS", 2)
    keys = [key() for _ in range(3)]
    for own in keys:
        for _ in range(3):
            fail(found, own=own)
    assert [state(found, own) for own in keys] == [CLOSED, OPEN, OPEN]
