"""Asks Redis where a request must not wait for it, and stops asking for a moment when it does not answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from core.own_time import others_within
from datastores.redis_client import REDIS_ERRORS, REQUEST_SECONDS

PAUSE_SECONDS = 1.0

T = TypeVar("T")
log = structlog.get_logger(__name__)


class RedisAwayError(RedisConnectionError):
    """Redis did not answer, or a moment ago did not: do without it."""


class RedisCircuit:
    """One to a process and a purpose. Its users have something of their own to go on with.

    After a failure nobody asks for `pause_seconds`; then one caller does, and the others go on without until it has its
    answer. So a Redis that hangs holds up one request a second, for `answer_seconds`.
    """

    def __init__(
        self,
        *,
        answer_seconds: float = REQUEST_SECONDS,
        pause_seconds: float = PAUSE_SECONDS,
        told: str = "redis_away_limits_are_local",
    ) -> None:
        """`told` is the log line of an outage's beginning."""
        self.answer_seconds = answer_seconds
        self._told = told
        self._pause = pause_seconds
        self._away_since: float | None = None
        self._ask_again_at = 0.0

    async def run(self, command: Callable[[], Awaitable[T]]) -> T:
        """What the command returns. Raises `RedisAwayError`; whether Redis has done it is then not known."""
        self._refuse_while_away()
        try:
            async with others_within(self.answer_seconds):
                result = await command()
        except REDIS_ERRORS as error:
            self._failed(error)
            raise RedisAwayError from error
        self._answered()
        return result

    async def ask(self, command: Callable[[], Awaitable[T]]) -> T:
        """As `run`, but a refusal (Redis is full, may only be read) is raised as it came: Redis has answered."""

        async def answered() -> T | ResponseError:
            try:
                return await command()
            except ResponseError as error:
                return error

        result = await self.run(answered)
        if isinstance(result, ResponseError):
            raise result
        return result

    def _refuse_while_away(self) -> None:
        if self._away_since is None:
            return
        now = time.monotonic()
        if now < self._ask_again_at:
            raise RedisAwayError
        # This caller asks; whoever comes before it has its answer goes on without.
        self._ask_again_at = now + self.answer_seconds + self._pause

    def _answered(self) -> None:
        if self._away_since is not None:
            log.info("redis_answers_again", away_seconds=round(time.monotonic() - self._away_since, 3))
            self._away_since = None

    def _failed(self, error: Exception) -> None:
        now = time.monotonic()
        self._ask_again_at = now + self._pause
        if self._away_since is None:
            # Once for each outage: a line for each request would fill the disk next.
            self._away_since = now
            log.warning(self._told, error=f"{type(error).__name__}: {error}")
