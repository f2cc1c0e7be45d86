"""What an open connection may still do: looked at for as long as it lasts, on a socket and over HTTP."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.exc import SQLAlchemyError

from core.errors import RequestError
from datastores.records import UserRecord
from resolvers.auditing import write_denials
from resolvers.context import Asked, Context

AGAIN_SECONDS = 1.0
"""Pause after PostgreSQL could not be asked."""
OWN_FIELDS = frozenset({"answer", "conversation"})
"""Subscriptions to what is the person's own: a weaker role still reads it, and sees less of what it leads to."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The person as it is now, and whether its role has become weaker since it was last seen."""

    person: UserRecord
    weaker: bool


async def changed_rights(connection: Context, *, renew: str) -> AsyncGenerator[Seen | RequestError, None]:
    """The person, at first and whenever something may have changed; and last, when nothing is left, why.

    Within two seconds each, less half a second for whoever ends something.

    `connection.claims` may be renewed meanwhile; `renew` says how, to whose time is over. Nothing comes where nobody is
    signed in.
    """
    standings = connection.services.standings
    known: UserRecord | None = None
    look = standings.person
    async with standings.watch(connection.reads.tenant_id) as watch:
        while (claims := connection.claims) is not None:
            left = _seconds_left(claims.expires_at)
            if left <= 0:
                yield RequestError.unauthenticated(f"The access token has expired: {renew}")
                return
            try:
                async with aclosing(connection.for_operation()) as context:
                    person = await look(context.reads, claims)
            except RequestError as error:
                yield error
                return
            except (SQLAlchemyError, OSError):
                left = min(left, AGAIN_SECONDS)
            else:
                yield Seen(person, known is not None and not person.role.covers(known.role))
                known = person
            look = standings.person_now if await watch.news(claims.session_id, left) else standings.person


def too_weak_for(asked: Asked | None, person: UserRecord) -> RequestError | None:
    """Why an operation ends when the role has become this one.

    None where it follows what is the person's own, and for a mutation: whether that may be done is looked at in its
    transactions, and nobody else can tell.
    """
    if asked is not None and (asked.is_mutation or asked.fields <= OWN_FIELDS):
        return None
    return RequestError.forbidden(f"Your role is now {person.role.value}: ask again.")


async def write_down(context: Context, error: RequestError) -> None:
    """Have it in the audit log that an operation was ended for this reason, unless it was denied as much itself."""
    for field in sorted(context.asked.fields if context.asked else ()):
        context.denied(field, error)
    await write_denials(context)


def _seconds_left(expires_at: datetime | None) -> float:
    return math.inf if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()
