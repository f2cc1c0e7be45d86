"""One line of the log to each operation; what is logged meanwhile carries the same request id, tenant and person."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import structlog
from graphql import FieldNode, OperationDefinitionNode, get_operation_ast
from strawberry.extensions import SchemaExtension

from resolvers.context import Context

NAME_CHARS = 80
"""Of an operation's name: the client chose it, and a line is no place for a document."""
ROOT_FIELDS = 5
"""How many of its root fields are named, for whoever reads of an operation without a name."""
log = structlog.get_logger(__name__)


class OperationLog(SchemaExtension):
    """Logs each operation when it has ended; a subscription's line has how long it lasted.

    Names of the operation and of fields are in it, and never an argument, a variable or a result: those are secrets
    and other people's texts.
    """

    async def on_operation(self) -> AsyncIterator[None]:
        """Around the whole operation, refused ones included."""
        context = self.execution_context.context
        if not isinstance(context, Context):
            yield
            return
        began = time.perf_counter()
        structlog.contextvars.bind_contextvars(request_id=context.request_id, **_who(context))
        try:
            yield
        finally:
            # Who it was is known for certain only now: some sign in, and whose an API key is PostgreSQL says.
            structlog.contextvars.bind_contextvars(**_who(context))
            log.info(
                "operation",
                **self._what(),
                ms=round((time.perf_counter() - began) * 1_000, 1),
                errors=sorted(context.error_codes),
            )
            # Not by the tokens of `bind_contextvars`: a stream may be closed from another task than began it.
            structlog.contextvars.unbind_contextvars("request_id", "tenant", "person")

    def _what(self) -> dict[str, object]:
        document = self.execution_context.graphql_document
        node = document and get_operation_ast(document, self.execution_context.operation_name)
        if not isinstance(node, OperationDefinitionNode):
            return {"operation": None, "kind": None, "fields": []}
        names = [each.name.value if isinstance(each, FieldNode) else "…" for each in node.selection_set.selections]
        return {
            "operation": node.name.value[:NAME_CHARS] if node.name else None,
            "kind": node.operation.value,
            "fields": [name[:NAME_CHARS] for name in names[:ROOT_FIELDS]],
        }


def _who(context: Context) -> dict[str, str | None]:
    claims, person = context.claims, context.known_person
    tenant_id = claims and claims.tenant_id
    person_id = person.id if person else claims and claims.user_id
    return {"tenant": tenant_id.hex if tenant_id else None, "person": person_id.hex if person_id else None}
