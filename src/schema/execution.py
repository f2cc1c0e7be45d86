"""What we change in how Strawberry executes: contexts, errors, and the memory of subscriptions.

The overridden methods of graphql-core and Strawberry are private to them: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError
from strawberry.extensions import SchemaExtension
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.types import ExecutionContext

from core.errors import RequestError, RequestErrorCode
from resolvers.context import Context

log = structlog.get_logger(__name__)
_INTERNAL = "Something went wrong on our side. Try again; if it persists, report the request id."


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Gives each event of a subscription a context of its own: fresh loaders, a transaction that ends with it."""

    def build_per_event_executor(self, payload: Any) -> Any:
        """The executor for one event."""
        executor: Any = super().build_per_event_executor(payload)
        # graphql-core 3.3.2 shares this cache with every later event and never empties it: about 1.4 kB an event.
        executor._relevant_sub_fields = {}
        parent: Context = self.context_value
        executor.context_value = _EventContext(parent)
        return executor

    def execute_operation(self, serially: bool | None = None) -> Any:
        """Execute, and end the event's transaction afterwards."""
        result = super().execute_operation(serially)
        if isinstance(self.context_value, _EventContext) and self.is_awaitable(result):
            return _closing(result, self.context_value)
        return result


class _EventContext(Context):
    """The context of one event: the same person, looked up once per subscription."""

    def __init__(self, parent: Context) -> None:
        super().__init__(parent.services, parent.claims, parent.public_url)
        self._person = parent._person


async def _closing(result: Awaitable[Any], context: Context) -> Any:
    try:
        return await result
    finally:
        await context.aclose()


class OperationScope(SchemaExtension):
    """Ends the operation's read transaction when the operation ends."""

    async def on_operation(self) -> AsyncIterator[None]:
        """Around the whole operation; a subscription's as long as it lasts."""
        try:
            yield
        finally:
            # Also when the stream is closed from outside, which arrives here as an exception.
            context = self.execution_context.context
            if isinstance(context, Context):
                await context.aclose()


class ColloquySchema(Schema):
    """Turns every error into what a client may see, whatever transport carries it."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Replace the errors in place: known ones get their code, others are masked and logged."""
        context = execution_context.context if execution_context else None
        request_id = context.request_id if isinstance(context, Context) else "-"
        errors[:] = [_public(error, request_id) for error in errors]


def _public(error: GraphQLError, request_id: str) -> GraphQLError:
    if error.extensions and "requestId" in error.extensions:
        return error
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if isinstance(original, RequestError):
        code, message = original.code, original.message
    elif isinstance(error, GraphQLSyntaxError):
        code, message = RequestErrorCode.GRAPHQL_PARSE_FAILED, error.message
    elif original is None or isinstance(original, GraphQLError):
        # graphql-core's own words: validation, or a variable that does not fit its type.
        in_execution = error.path is not None
        code = RequestErrorCode.BAD_USER_INPUT if in_execution else RequestErrorCode.GRAPHQL_VALIDATION_FAILED
        message = error.message
    else:
        code, message = RequestErrorCode.INTERNAL, _INTERNAL
        log.error("request failed", request_id=request_id, path=error.path, exc_info=original)
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions={"code": code.value, "requestId": request_id},
    )
