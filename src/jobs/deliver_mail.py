"""Send the mails of the outbox, each at least once.

A mail is sent twice where a worker is killed between the server's word and the entry's deletion; both have the same
`Message-ID`. A mail that is sent by one worker cannot be claimed by another: a claim outlasts the sending.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from core.mail import Mail, shortened
from datastores import outbox
from datastores.outbox import ClaimedEntry
from datastores.postgres import Purpose
from jobs.services import JobServices
from providers.mail.base import Mailer, MailError, MailServerUnavailableError

BATCH = 20
"""Mails to a connection: servers let some dozens pass before they find it too many."""
FIRST_DELAY = timedelta(seconds=1)
"""Before the second try; four times as long before each further one."""
LONGEST_DELAY = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
FORGET_AFTER = timedelta(days=30)
log = structlog.get_logger(__name__)


async def deliver_mail(ctx: dict[str, Any]) -> int:
    """The arq job: send what is due; how many mails were sent. May run any number of times, at once and anywhere."""
    services: JobServices = ctx["services"]
    sent = 0
    async with services.mail.session() as mailer:
        for _ in range(BATCH):
            async with services.postgres.platform(Purpose.RELAY) as tx:
                entry = await outbox.claim(tx, outbox.MAIL)
            if entry is None:
                return sent
            try:
                await _deliver(services, mailer, entry)
                sent += 1
            except MailServerUnavailableError:
                # The others would only fail as this one did: they stay due, and the sweep knocks again.
                return sent
            except MailError:
                continue
    await services.queue.deliver_mail()
    return sent


async def sweep_mail(ctx: dict[str, Any]) -> int:
    """Run every few seconds: wake a worker for what is due, give up what is too old. How many were given up."""
    services: JobServices = ctx["services"]
    async with services.postgres.platform(Purpose.RELAY) as tx:
        given_up = await outbox.give_up_overdue(tx, outbox.MAIL, GIVE_UP_AFTER)
        await outbox.forget_given_up(tx, outbox.MAIL, FORGET_AFTER)
        due = await outbox.is_due(tx, outbox.MAIL)
    for entry in given_up:
        to = shortened(str(entry.payload.get("to")))
        log.warning("mail given up", mail=entry.id.hex, to=to, reason=entry.last_error)
    if due:
        await services.queue.deliver_mail()
    return len(given_up)


async def _deliver(services: JobServices, mailer: Mailer, entry: ClaimedEntry) -> None:
    """Send one mail and record how that went. Raises `MailError` when it was not taken."""
    told = {"mail": entry.id.hex, "to": shortened(str(entry.payload.get("to"))), "attempt": entry.attempts}
    try:
        await mailer.send(_mail(entry), mail_id=entry.id, written_at=entry.created_at)
    except MailError as error:
        await _not_sent(services, entry, error, told)
        raise
    except asyncio.CancelledError:
        # The worker is shutting down: the next one need not wait until this claim runs out.
        with suppress(OSError, SQLAlchemyError):
            async with services.postgres.platform(Purpose.RELAY) as tx:
                await outbox.release(tx, entry)
        raise
    async with services.postgres.platform(Purpose.RELAY) as tx:
        await outbox.delivered(tx, entry)
    log.info("mail sent", **told)


def _mail(entry: ClaimedEntry) -> Mail:
    """Raises `MailError` for what an earlier version may have taken for a mail."""
    try:
        return Mail(**entry.payload)
    except (TypeError, ValueError):
        raise MailError("The entry is not a mail that can be sent.", retryable=False) from None


async def _not_sent(services: JobServices, entry: ClaimedEntry, error: MailError, told: dict[str, Any]) -> None:
    if not error.retryable:
        async with services.postgres.platform(Purpose.RELAY) as tx:
            await outbox.give_up(tx, entry, error.reason)
        log.warning("mail given up", reason=error.reason, **told)
        return
    delay = delay_after(entry.attempts)
    async with services.postgres.platform(Purpose.RELAY) as tx:
        await outbox.postpone(tx, entry, delay, error.reason)
    log.warning("mail not sent yet", reason=error.reason, next_try_seconds=delay.total_seconds(), **told)
    await services.queue.deliver_mail(after=delay)


def delay_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts in vain: 1 s, 4 s, 16 s … an hour."""
    # Six times fourfold is beyond the longest already; without a bound it would one day be beyond any timedelta.
    return min(FIRST_DELAY * 4.0 ** min(attempts - 1, 6), LONGEST_DELAY)
