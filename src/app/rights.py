"""What an open connection may still do: looked at for as long as it lasts, on a socket and over HTTP."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from graphql import FieldNode, GraphQLError, OperationDefinitionNode, get_operation_ast, parse
from sqlalchemy.exc import SQLAlchemyError

from core.errors import RequestError
from datastores.records import UserRecord
from resolvers.context import Context

AGAIN_SECONDS = 1.0
"""Pause after PostgreSQL could not be asked."""
OWN_FIELDS = frozenset({"answer", "conversation"})
"""Subscriptions to what is the person's own: a weaker role still reads it, and sees less of what it leads to."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The person as it is now, and whether its role has become weaker since it was last seen."""

    person: UserRecord
    weaker: bool


async def changed_rights(connection: Context) -> AsyncGenerator[Seen | RequestError, None]:
    """The person, at first and whenever something may have changed; and last, when nothing is left, why.

    Within two seconds each.

    `connection.claims` may be renewed meanwhile. Nothing comes where nobody is signed in.
    """
    standings = connection.services.standings
    known: UserRecord | None = None
    look = standings.person
    async with standings.watch(connection.reads.tenant_id) as watch:
        while (claims := connection.claims) is not None:
            left = _seconds_left(claims.expires_at)
            if left <= 0:
                yield RequestError.unauthenticated(
                    "The access token has expired: renew it with a ping, or connect again."
                )
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


def too_weak_for(document: str | None, operation_name: str | None, person: UserRecord) -> RequestError | None:
    """Why an operation ends when the role has become this one; None where it follows what is the person's own."""
    if _root_fields(document, operation_name) <= OWN_FIELDS:
        return None
    return RequestError.forbidden(f"Your role is now {person.role.value}: subscribe again.")


def _seconds_left(expires_at: datetime | None) -> float:
    return math.inf if expires_at is None else (expires_at - datetime.now(UTC)).total_seconds()


def _root_fields(document: str | None, operation_name: str | None) -> set[str]:
    """Names of the operation's root fields."""
    try:
        found: OperationDefinitionNode | None = get_operation_ast(parse(document or ""), operation_name)
    except GraphQLError:
        return {""}
    nodes: tuple[Any, ...] = tuple(found.selection_set.selections) if found else ()
    return {node.name.value if isinstance(node, FieldNode) else "" for node in nodes}
