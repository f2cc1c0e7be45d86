"""Runs answers in this process and picks up those whose producer died."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from answers.ends import StopRequestedError
from answers.forgotten import ForgottenAnswers
from answers.producer import Attempt
from answers.services import Services
from core.errors import ErrorCode, FailureError
from core.ids import TenantId, new_id
from core.tasks import end_tasks, see_through
from datastores import answer_producers, answer_stops, answer_turns, redis_keys
from datastores.answer_log import LEASE_MS, SupersededError
from datastores.outages import is_outage, when_back
from datastores.postgres import Purpose
from datastores.redis_circuit import RedisAwayError
from datastores.redis_client import REDIS_ERRORS
from datastores.tenants import suspended_among

SWEEP_SECONDS = 2.0
LISTEN_SECONDS = 60.0
"""Any length of time: whoever listens for stops has nothing else to do."""
RENEW_SECONDS = LEASE_MS / 3_000
RENEW_AGAIN_SECONDS = 0.5
"""After a lease could not be renewed: it may have run out, and a Redis that wakes is looked at by sweeps first of all.
Two of them, two seconds apart, must not find it without."""
FINISH_SECONDS = 2.5
"""How long a closing process waits for its answers to finish by themselves."""
HAND_OVER_SECONDS = 1.5
"""How long it then tries to record that it gives the others up. Both together, and twice what a hanging PostgreSQL is
given (`datastores.postgres.CUT_SECONDS`), fit into a process's grace period (`app.ending.GRACE_SECONDS`)."""
_SWEEP_BATCH = 1_000
log = structlog.get_logger(__name__)


def _suspended() -> FailureError:
    message = "The organisation was suspended while this was being answered. Ask again when it is back."
    return FailureError(ErrorCode.INTERRUPTED, message, retryable=True)


class AnswerSupervisor:
    """Owns the tasks that produce answers. One per process; closing it abandons what runs to the next sweep."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._attempts: dict[UUID, tuple[TenantId, Attempt]] = {}
        self._stopping: set[UUID] = set()
        """Of the tasks, those whose answer is to be stopped before its attempt has begun."""
        self._watching: list[asyncio.Task[None]] = []
        self._draining: asyncio.Task[None] | None = None
        self._id = new_id()
        """The process's own among those that write answers."""
        self._forgotten = ForgottenAnswers(services.answer_log)

    async def start(self) -> None:
        """Begin to sweep for forgotten answers, and to hear which are to be stopped."""
        self._watching = [
            asyncio.create_task(self._sweep_for_ever(), name="answer-sweep"),
            asyncio.create_task(self._hear_stops(), name="answer-stops"),
        ]

    def produce(self, tenant_id: TenantId, answer_id: UUID, seen_epoch: int = 0) -> None:
        """Produce this answer in a task of its own, if nobody has begun it (or taken it on since `seen_epoch`)."""
        if answer_id not in self._tasks and self._draining is None:
            task = asyncio.create_task(self._run(tenant_id, answer_id, seen_epoch), name=f"answer-{answer_id.hex}")
            self._tasks[answer_id] = task
            task.add_done_callback(lambda _: self._ended(answer_id))

    def stop(self, answer_id: UUID) -> None:
        """End the answer, if this process writes it, with what it has said."""
        if answer_id in self._attempts:
            self._attempts[answer_id][1].interrupt(StopRequestedError())
        elif answer_id in self._tasks:
            self._stopping.add(answer_id)

    async def idle(self) -> None:
        """Wait until this process produces no answer."""
        while self._tasks:
            await asyncio.wait(list(self._tasks.values()))

    def drain(self) -> None:
        """Begin nothing any more, stop sweeping, give what runs a moment to finish, then cancel it.

        Leases are dropped, so that another process takes an unfinished answer over at once.
        """
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="answer-drain")

    async def aclose(self) -> None:
        """Wait for the end of that, which is begun if it has not been."""
        self.drain()
        assert self._draining is not None
        try:
            await asyncio.shield(self._draining)
        finally:
            await end_tasks([self._draining])

    async def _drain(self) -> None:
        sweep = self._watching[:1]
        for task in sweep:
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()), timeout=FINISH_SECONDS)
        await end_tasks([*self._tasks.values(), *self._watching])

    def _ended(self, answer_id: UUID) -> None:
        self._tasks.pop(answer_id, None)
        self._stopping.discard(answer_id)

    async def _run(self, tenant_id: TenantId, answer_id: UUID, seen_epoch: int) -> None:
        try:
            ready = await self._has_slot(tenant_id, answer_id, seen_epoch)
            attempt = await self._run_in_slot(tenant_id, answer_id, seen_epoch) if ready else None
            if attempt is None:
                await self._say_that_it_waits(tenant_id, answer_id)
                return
        except SupersededError:
            log.info("answer taken over", answer=answer_id.hex)
        except (SQLAlchemyError, OSError) as error:
            # The database is away: the answer stays unfinished there, and a sweep picks it up.
            log.warning("answer interrupted", answer=answer_id.hex, error=type(error).__name__)
        except Exception:
            log.exception("answer interrupted", answer=answer_id.hex)
        else:
            if attempt.following is not None:
                # A task inherits what its log lines carry: that one is another request's.
                structlog.contextvars.clear_contextvars()
                self.produce(tenant_id, attempt.following)

    async def _has_slot(self, tenant_id: TenantId, answer_id: UUID, seen_epoch: int) -> bool:
        """Whether the tenant has a slot for it; if not, the next sweep asks again. No slot is taken out of turn."""
        if self._services.slots.holds(answer_id):
            return True  # whoever stored the question took it
        async with self._services.postgres.read(tenant_id) as read:
            if not await answer_turns.is_turn(read, answer_id, seen_epoch):
                return False
            stopped = await answer_stops.is_to_be_stopped(read, answer_id)
        if stopped:
            # Nothing is written any more: it must not run on until there is a slot.
            await self._services.slots.renew(tenant_id, answer_id)
            return True
        return await self._services.slots.acquire_or_wait(tenant_id, answer_id)

    async def _say_that_it_waits(self, tenant_id: TenantId, answer_id: UUID) -> None:
        async with self._services.postgres.read(tenant_id) as read:
            waits = await answer_turns.is_waiting(read, answer_id)
        if waits:
            with suppress(*REDIS_ERRORS):
                await self._services.answer_log.queue(tenant_id, answer_id)

    async def _run_in_slot(self, tenant_id: TenantId, answer_id: UUID, seen_epoch: int) -> Attempt | None:
        """The attempt that has ended the answer; None: it could not be claimed."""
        anothers = False
        try:
            async with self._services.postgres.write(tenant_id) as tx:
                claimed = await answer_turns.claim(tx, answer_id, seen_epoch, self._id)
                anothers = claimed is None and await answer_turns.is_begun(tx, answer_id)
            if claimed is None:
                return None
            return await self._run_leased(tenant_id, answer_id, claimed)
        except SupersededError:
            anothers = True
            raise
        finally:
            # The slot is the answer's: whoever has begun it, or taken it over, holds it now.
            if anothers:
                self._services.slots.forget(answer_id)
            else:
                await self._services.slots.release(tenant_id, answer_id)

    async def _run_leased(self, tenant_id: TenantId, answer_id: UUID, claimed: answer_turns.ClaimedAnswer) -> Attempt:
        lease = asyncio.create_task(self._hold_lease(tenant_id, answer_id, claimed.epoch))
        attempt = Attempt(self._services, tenant_id, answer_id, claimed)
        self._attempts[answer_id] = (tenant_id, attempt)
        if answer_id in self._stopping:
            attempt.interrupt(StopRequestedError())
        try:
            # Behind the lease: without that, sweeps take the answer for forgotten.
            await self._services.news.tell(tenant_id, claimed.conversation_id)
            await self._run_attempt(attempt)
            return attempt
        except asyncio.CancelledError:
            await see_through(when_back(attempt.hand_over), HAND_OVER_SECONDS)
            raise
        finally:
            del self._attempts[answer_id]
            await end_tasks([lease])
            with suppress(*REDIS_ERRORS):
                await self._services.answer_log.drop_lease(tenant_id, answer_id, claimed.epoch)

    async def _run_attempt(self, attempt: Attempt) -> None:
        try:
            await attempt.run()
        except Exception as error:
            # The lease is kept until the database is back: nobody could go on before that.
            if is_outage(error):
                await when_back(attempt.hand_over)
            raise

    async def _hold_lease(self, tenant_id: TenantId, answer_id: UUID, epoch: int) -> None:
        while True:
            pause = RENEW_SECONDS
            try:
                await self._services.answer_log.hold_lease(tenant_id, answer_id, epoch)
            except RedisAwayError:
                pause = RENEW_AGAIN_SECONDS
            except REDIS_ERRORS as error:
                log.warning("lease not renewed", answer=answer_id.hex, error=type(error).__name__)
            await self._services.slots.renew(tenant_id, answer_id)
            await asyncio.sleep(pause)

    async def _hear_stops(self) -> None:
        """What is published while the connection is lost, the sweep finds in PostgreSQL."""
        async with self._services.live.follow(redis_keys.ANSWER_STOPS) as feed:
            while True:
                for word in await feed.take(LISTEN_SECONDS) or ():
                    self.stop(UUID(hex=word.decode()))

    async def _sweep_for_ever(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception as error:
                if is_outage(error) or isinstance(error, REDIS_ERRORS):
                    log.warning("sweep skipped", error=type(error).__name__)
                else:
                    log.exception("sweep failed")
            await asyncio.sleep(SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Produce every unfinished answer that nobody holds; how many were found.

        End those of suspended tenants, and those that a person has stopped without that this process has heard of it.

        An answer younger than a sweep is left alone: whoever stored it is about to produce it.
        """
        if self._tasks:
            await self._show_life()
        async with self._services.postgres.platform(Purpose.SWEEP) as tx:
            age = timedelta(seconds=SWEEP_SECONDS)
            found = await answer_producers.unfinished(tx, self._id, older_than=age, most=_SWEEP_BATCH)
            suspended = await suspended_among(tx, {tenant_id for tenant_id, _ in self._attempts.values()})
            stopped = await answer_stops.stop_requested(tx, list(self._attempts))
        for answer_id in stopped:
            self.stop(answer_id)
        for tenant_id, attempt in self._attempts.values():
            if tenant_id in suspended:
                attempt.interrupt(_suspended())
        forgotten = await self._forgotten.among([one for one in found if one.id not in self._tasks])
        if forgotten and not self._tasks:
            # Before it has any: others must not find their process silent.
            await self._show_life()
        for one in forgotten:
            self.produce(one.tenant_id, one.id, one.epoch)
        return len(forgotten)

    async def _show_life(self) -> None:
        async with self._services.postgres.platform(Purpose.SWEEP) as tx:
            await answer_producers.show_life(tx, self._id)
