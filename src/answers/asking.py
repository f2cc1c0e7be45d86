"""Asking models in turn: several tries each, with pauses between them, until one has begun to write.

Once a model has written a word nobody asks again: a second answer would contradict what a person is reading.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import structlog

from answers.candidates import Candidate
from core.errors import ErrorCode, ProviderError
from core.settings import Settings
from datastores.answers import GivenUp
from providers.circuits import CircuitOpenError

_JITTER = 0.25
"""A pause is longer or shorter by up to this part of it: answers that failed together should not return together."""
_REASONS = {
    ErrorCode.PROVIDER_RATE_LIMITED: "The model is busy",
    ErrorCode.PROVIDER_UNAVAILABLE: "The model cannot be reached",
    ErrorCode.TIMED_OUT: "The model did not answer in time",
    ErrorCode.CONTEXT_TOO_LONG: "The question is too long for the model",
}
_Said = TypeVar("_Said")
log = structlog.get_logger(__name__)


class Asking:
    """How asking for one answer goes. What it is given says `begun` once the first token has come."""

    def __init__(
        self,
        settings: Settings,
        *,
        ask: Callable[[Candidate], Awaitable[None]],
        begun: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> None:
        """`ask` asks once and raises `ProviderError`; `tell` shows a person what is being done."""
        self._settings = settings
        self._ask = ask
        self._begun = begun
        self._tell = tell
        self.given_up: list[GivenUp] = []
        """The models before the one that is being asked now, in order."""
        self.since = datetime.now(UTC)
        """When the one that is being asked now was first asked."""

    async def in_turn(self, candidates: Sequence[Candidate]) -> None:
        """Ask until one has answered. Raises the last one's `ProviderError`, and whatever else `ask` raises."""
        for candidate in candidates:
            self.since = datetime.now(UTC)
            try:
                await self._several_times(candidate)
                return
            except ProviderError as error:
                # What one model's filter refuses is not taken to the next one.
                theirs = error.code is not ErrorCode.CONTENT_FILTERED
                if self._begun() or not theirs or candidate is candidates[-1]:
                    raise
                self.given_up.append(
                    GivenUp(candidate.provider, candidate.model or "", error.code, self.since, datetime.now(UTC))
                )
                log.warning("fallback asked", provider=candidate.provider, code=error.code.value)
                self._tell(f"{_reason(error)}. Another model is asked.")

    async def _several_times(self, candidate: Candidate) -> None:
        ask = partial(self._ask, candidate)
        await several_times(ask, self._settings, provider=candidate.provider, tell=self._tell, begun=self._begun)


async def several_times(
    ask: Callable[[], Awaitable[_Said]],
    settings: Settings,
    *,
    provider: str,
    tell: Callable[[str], None],
    begun: Callable[[], bool] = lambda: False,
) -> _Said:
    """What `ask` gives at last, asked as often as is set for as long as it is worth it. Raises its `ProviderError`."""
    tries = settings.provider_tries
    for number in range(1, tries + 1):
        try:
            return await ask()
        except ProviderError as error:
            if begun() or not error.retryable or number == tries or isinstance(error, CircuitOpenError):
                raise
            if too_long(settings, error.retry_after):
                # Asked again before its time it would refuse again: another model, or the person, is quicker.
                raise
            seconds = pause(settings, number, error.retry_after)
            log.info("provider retried", provider=provider, code=error.code.value, seconds=seconds)
            tell(f"{_reason(error)}. {_again_in(seconds)} (try {number + 1} of {tries}).")
        await asyncio.sleep(seconds)
    raise AssertionError("unreachable: the last try returns or raises")


def pause(settings: Settings, failures: int, retry_after: float | None) -> float:
    """Seconds before the next try after so many failures: what the provider asks for, or twice the pause before."""
    if retry_after is not None:
        return retry_after
    seconds: float = settings.provider_retry_pause * 2.0 ** (failures - 1)
    return min(seconds * random.uniform(1 - _JITTER, 1 + _JITTER), settings.provider_retry_longest)  # noqa: S311 - no secret


def too_long(settings: Settings, retry_after: float | None) -> bool:
    """Whether the provider asks for a longer wait than anybody waits for."""
    return retry_after is not None and retry_after > settings.provider_retry_longest


def _reason(error: ProviderError) -> str:
    return _REASONS.get(error.code, "The model gave no usable answer")


def _again_in(seconds: float) -> str:
    whole = round(seconds)
    if whole < 1:
        return "Trying again"
    return f"Trying again in {whole} second{'s' if whole > 1 else ''}"
