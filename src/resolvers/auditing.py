"""The audit log: every mutation is one row, and so is every denial.

A mutation that changes something has its row in the transaction that changes it (`Context.write`, `Context.platform`).
One that changes nothing has it in a transaction of its own, afterwards. Without its row a mutation fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from core.errors import ErrorCode, RequestError, RequestErrorCode
from core.ids import NodeKind
from core.tasks import to_its_end
from datastores import audit
from datastores.audit import AuditFilter, add_entry
from datastores.models import AuditOutcome
from datastores.outages import is_overload
from datastores.pages import Page, PageRequest
from datastores.postgres import Purpose
from datastores.records import AuditRecord
from resolvers.arguments import argument_id
from resolvers.audit_trail import DENIALS, AuditTrail
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.texts import is_storable

DENIAL_SECONDS = 5.0
"""For the row of a denial, for which an operation's end waits; then it is in the file alone."""
T = TypeVar("T")
log = structlog.get_logger(__name__)


async def audited(context: Context, trail: AuditTrail, mutation: Callable[[], Awaitable[T]]) -> T:
    """Run a mutation, and see that it has its row. Raises what the mutation raises, or what keeps the row out.

    Whoever asks is looked at anew: the mutations before it in the same operation may have taken long, or taken rights.
    A client that goes away does not end it: behind its commit there are others who have to be told.
    """
    return await to_its_end(_audited(context, trail, mutation))


async def _audited(context: Context, trail: AuditTrail, mutation: Callable[[], Awaitable[T]]) -> T:
    await context.look_again()
    context.trail = trail
    try:
        try:
            result = await mutation()
        except Exception as error:
            trail.ended(*_of_error(error))
            if is_overload(error):
                # There is no connection for its row, either; to wait for one would make it worse.
                context.services.audit_file.write(context.audit_entry(trail, context.audit_tenant(trail)))
            else:
                await _write_of_failed(context, trail)
            raise
        code = getattr(result, "code", None)
        if isinstance(code, ErrorCode):
            wrong = code is ErrorCode.INVALID_CREDENTIALS
            trail.ended(AuditOutcome.DENIED if wrong else AuditOutcome.REFUSED, code.value)
        if not trail.written:
            await write(context, trail)
        return result
    finally:
        context.trail = None


async def write(context: Context, trail: AuditTrail) -> None:
    """The row in a transaction of its own: nothing was changed beside which it could be written."""
    trail.written = True  # `Context.write` must not write it again
    await context.aclose()
    tenant_id = context.audit_tenant(trail)
    entry = context.audit_entry(trail, tenant_id)
    if tenant_id is None:
        async with context.services.postgres.platform(Purpose.AUDIT) as anywhere:
            await add_entry(anywhere, entry)
    else:
        # Not by `Context.write`, which would look whether the person may do what was denied.
        async with context.services.postgres.write(tenant_id) as tx:
            if context.statements is not None:
                tx.count(context.statements)
            await add_entry(tx, entry)
    context.services.audit_file.write(entry)


async def write_denials(context: Context) -> None:
    """The rows of what the operation was denied; call it at its end, which may be its client's going away.

    Whoever is cancelled meanwhile waits for them. With PostgreSQL away they are in the file alone. A question by
    nobody, without any token, has no row: it is every page's first, before somebody signs in.
    """
    if any(not trail.written for trail in context.denials.values()):
        await to_its_end(_write_denials(context))


async def _write_denials(context: Context) -> None:
    for trail in tuple(context.denials.values()):
        if trail.written:
            continue
        trail.written = True
        if not trail.stored:
            context.services.audit_file.write(context.audit_entry(trail, context.audit_tenant(trail)))
            continue
        try:
            async with asyncio.timeout(DENIAL_SECONDS):
                await write(context, trail)
        except BaseException as error:
            # Also when the process ends meanwhile, which cancels every task.
            context.services.audit_file.write(context.audit_entry(trail, context.audit_tenant(trail)))
            if not isinstance(error, Exception):
                raise
            log.exception("a denial is not in the audit log", action=trail.action, request_id=context.request_id)


async def write_denial_at_the_door(context: Context, action: str, error: RequestError) -> None:
    """The row of what was denied before any limit on requests was asked.

    An address has as many of them as it has anonymous requests; the rest of a flood is refused without a trace.
    """
    if await context.services.rates.limiter.take(context.by_address(context.limits.anonymous)) is None:
        context.denied(action, error)
    await context.aclose()
    await write_denials(context)


async def entries(
    context: Context,
    *,
    action: str | None,
    actor_id: str | None,
    begin: datetime | None,
    end: datetime | None,
    page: PageRequest,
) -> Page[AuditRecord]:
    """The tenant's entries, newest first. Raises `RequestError`."""
    await context.authorise(Operation.VIEWER_AUDIT_LOG)
    if action is not None and not is_storable(action):
        raise RequestError.bad_input("`action` contains characters that are not text.")
    actor = None if actor_id is None else argument_id(NodeKind.USER, actor_id)
    wanted = AuditFilter(action, actor, _in_utc(begin, "from"), _in_utc(end, "to"))
    return await audit.entries(context.reads, wanted, page)


async def _write_of_failed(context: Context, trail: AuditTrail) -> None:
    if trail.written:
        return
    try:
        await write(context, trail)
    except Exception:
        if trail.outcome is not AuditOutcome.FAILED:
            raise
        # Most likely for the same reason for which the mutation failed, and that one is told.
        log.exception("a failure is not in the audit log", action=trail.action, request_id=context.request_id)


def _of_error(error: Exception) -> tuple[AuditOutcome, str]:
    if not isinstance(error, RequestError):
        return AuditOutcome.FAILED, RequestErrorCode.INTERNAL.value
    return AuditOutcome.DENIED if error.code in DENIALS else AuditOutcome.REFUSED, error.code.value


def _in_utc(moment: datetime | None, argument: str) -> datetime | None:
    """A time without a zone is UTC. Raises `RequestError` for one that is outside the years 1 to 9999 there."""
    if moment is None:
        return None
    try:
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except OverflowError:
        raise RequestError.bad_input(f"`{argument}` is not within the years 1 to 9999 in UTC.") from None
