"""Answers of which nothing is heard: something may have been lost, or their producer may have ended without a word.

All of a process's are looked at together. Thousands of viewers may wait for thousands of answers, and a look for each
would cost more than all that they are sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.tasks import end_tasks
from datastores.answer_log import AnswerLog
from datastores.answer_turns import unfinished_among
from datastores.postgres import Postgres, Purpose
from datastores.redis_client import REDIS_ERRORS
from resolvers.following.topic import AnswerTopic, AnswerTopics

SILENCE_SECONDS = 5.0
"""After so long without an event somebody looks in the log and in PostgreSQL."""
_LOOK_SECONDS = 1.0
_AT_ONCE = 1_000
"""Answers in one look."""
log = structlog.get_logger(__name__)


class SilenceWatch:
    """Sends viewers to read where there is something to be read."""

    def __init__(self, topics: AnswerTopics, answer_log: AnswerLog, postgres: Postgres) -> None:
        self._topics, self._log, self._postgres = topics, answer_log, postgres
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._watch(), name="silent-answers")

    async def aclose(self) -> None:
        """End."""
        if self._task is not None:
            await end_tasks([self._task])

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            silent = self._topics.silent(SILENCE_SECONDS)
            for at in range(0, len(silent), _AT_ONCE):
                try:
                    await self._look(silent[at : at + _AT_ONCE])
                except (SQLAlchemyError, OSError) as error:
                    log.warning("silent answers not looked at", error=type(error).__name__)
                except Exception:
                    log.exception("silent answers not looked at")

    async def _look(self, topics: Sequence[AnswerTopic]) -> None:
        now = asyncio.get_running_loop().time()
        for topic in topics:
            topic.heard_at = now
        keys = [topic.key for topic in topics]
        try:
            tails = await self._log.tails(keys)
        except REDIS_ERRORS:
            tails = [(None, 0)] * len(keys)  # PostgreSQL knows at least what has ended
        quiet = []
        for topic, tail in zip(topics, tails, strict=True):
            if tail[0] is not None and topic.standings - {tail}:
                topic.mark_gap()
            else:
                quiet.append(topic)
        if quiet:
            async with self._postgres.platform(Purpose.SWEEP) as tx:
                unfinished = await unfinished_among(tx, [topic.key for topic in quiet])
            for topic in quiet:
                if topic.key not in unfinished:
                    topic.mark_gap()
