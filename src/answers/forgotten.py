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
            held = [lease or _lives(one, SILENT_WITHOUT_LEASE) for one, lease in zip(begun, leased, strict=True)]
            enough = _WITHOUT_LEASE
        except REDIS_ERRORS:
            # Away, or one that refuses to be read.
            # One without a name is of a version that shows no life: it is left alone.
            held = [not one.named or _lives(one, SILENT_STOP if one.stopped else SILENT) for one in begun]
            enough = _WITHOUT_LIFE
        before, self._unheld = self._unheld, {}
        for one, is_held in zip(begun, held, strict=True):
            if not is_held:
                key = (one.id, one.epoch)
                self._unheld[key] = before.get(key, 0) + 1
        return [one for one in found if one.epoch == 0 or one.handed_over or self._is_left(one, enough)]

    def _is_left(self, one: Unfinished, enough: int) -> bool:
        # A stopped one costs nobody a model's answer.
        return self._unheld.get((one.id, one.epoch), 0) >= (min(enough, _WITHOUT_LEASE) if one.stopped else enough)


def _lives(one: Unfinished, within: float) -> bool:
    # Not for ever after a clock that was ahead: a database that was failed over to may have another.
    return one.silence is not None and -within < one.silence < within
