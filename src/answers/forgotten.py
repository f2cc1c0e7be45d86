"""Tells the answers that nobody writes from those that somebody does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from datastores.answer_log import AnswerLog
from datastores.answer_producers import Unfinished
from datastores.redis_client import REDIS_ERRORS

_WITHOUT_LEASE = 2
"""Sweeps in a row: after Redis lost all leases their holders need a moment to renew them."""
_WITHOUT_LIFE = 3
"""Sweeps in a row: after PostgreSQL was away whoever writes answers has to find out before it can show life."""
_LEASED_WITHOUT_LIFE = 15
"""The same of one whose producer has Redis: a database that comes back after a failover may be noticed so late
(`datastores.openings.SILENT_SECONDS`)."""
SILENT_LEASED: Final = 30.0
"""Seconds: a process that holds leases and has shown no life for so long has lost PostgreSQL, alone: whoever looks has
it. It can neither end its answers nor hand them over."""
SILENT: Final = 8.0
"""Seconds: a process that writes answers and has shown no life for so long may have died, where there is no other
evidence: the lease's six, and a sweep's two."""
SILENT_STOP: Final = 4.0
"""The same of one whose answer is to be stopped. It would have found that with the sweep in which it shows life, and
whoever ends the answer in its place asks no model again."""
SILENT_WITHOUT_LEASE: Final = 4.0
"""The same where Redis answers that there is no lease. A killed process's runs out after four to six seconds, so that
nobody waits for its silence."""


class ForgottenAnswers:
    """What sweeps have found so far. One per process."""

    def __init__(self, answer_log: AnswerLog) -> None:
        self._log = answer_log
        self._unheld: dict[tuple[UUID, int], int] = {}
        """Answers that somebody has begun, with their epoch, and in how many sweeps running nobody held them."""

    async def among(self, found: Sequence[Unfinished]) -> list[Unfinished]:
        """Those to be produced by whoever asks: what nobody has begun, was handed over, or has lost its producer.

        Call once to each sweep, with all that it found. A producer is lost that holds no lease and shows no life in
        PostgreSQL: a Redis that is full, or whose disk is, refuses leases, and its word alone would take answers from
        the living. With Redis away nobody knows of leases. Epochs make it safe to be wrong, and a model is paid twice.
        """
        begun = [one for one in found if one.epoch > 0 and not one.handed_over]
        try:
            leased = await self._log.leased([(one.tenant_id, one.id) for one in begun])
            enough = [_by_lease(one, lease) for one, lease in zip(begun, leased, strict=True)]
        except REDIS_ERRORS:
            # Away, or one that refuses to be read.
            enough = [_by_life(one) for one in begun]
        before, self._unheld = self._unheld, {}
        left: set[UUID] = set()
        for one, sweeps in zip(begun, enough, strict=True):
            if sweeps is not None:
                key = (one.id, one.epoch)
                self._unheld[key] = before.get(key, 0) + 1
                if self._unheld[key] >= sweeps:
                    left.add(one.id)
        return [one for one in found if one.epoch == 0 or one.handed_over or one.id in left]


def _by_lease(one: Unfinished, leased: bool) -> int | None:
    """In how many sweeps running it has to be found so to be lost; None: it has a producer."""
    if leased:
        return _LEASED_WITHOUT_LIFE if one.named and one.silence is not None and one.silence > SILENT_LEASED else None
    return None if _lives(one, SILENT_WITHOUT_LEASE) else _WITHOUT_LEASE


def _by_life(one: Unfinished) -> int | None:
    # One without a name is of a version that shows no life: it is left alone.
    if not one.named or _lives(one, SILENT_STOP if one.stopped else SILENT):
        return None
    # A stopped one costs nobody a model's answer.
    return _WITHOUT_LEASE if one.stopped else _WITHOUT_LIFE


def _lives(one: Unfinished, within: float) -> bool:
    # Not for ever after a clock that was ahead: a database that was failed over to may have another.
    return one.silence is not None and -within < one.silence < within
