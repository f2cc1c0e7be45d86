"""What we change in how Strawberry executes: documents and their limits, contexts, errors.

The overridden methods of Strawberry are private to them: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import structlog
from graphql import DocumentNode, GraphQLError, GraphQLSyntaxError, OperationDefinitionNode, get_operation_ast
from strawberry.extensions import SchemaExtension
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.http import GraphQLRequestData
from strawberry.schema.config import StrawberryConfig
from strawberry.schema.schema import Schema
from strawberry.types import ExecutionContext
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from core.errors import RequestError, RequestErrorCode
from core.settings import Settings
from datastores.outages import is_outage, is_overload
from resolvers.auditing import write_denials
from resolvers.context import Context
from schema.asked import asked_by
from schema.auditing import audit_mutations
from schema.executor import DiscreetExecutor, Executor
from schema.limits.documents import Documents
from schema.limits.inputs import check_extensions, check_variables
from schema.limits.refusal import LimitExceededError
from schema.operation_log import OperationLog
from schema.persisted import text_to_run
from schema.rendering.renderers import Renderer, Renderers
from schema.scalars import SCALARS
from schema.wording import without_values

log = structlog.get_logger(__name__)
NAME_CHARS: Final = 100
"""Of a name that is told back to whoever has sent it."""
OVERLOADED: Final = "Too much is going on at the moment. Try again shortly."
AWAY: Final = "The service is not available for a moment. Try again shortly."
AGAIN_MS: Final = 1_000
"""On average: those who were refused together should not return together."""
INTERNAL: Final = "Something went wrong on our side. Try again; if it persists, report the request id."


class OperationScope(SchemaExtension):
    """Ends the operation's read transaction with it, writes down what it was denied, and says what it cost if asked."""

    async def on_operation(self) -> AsyncIterator[None]:
        """Around the whole operation; a subscription's as long as it lasts."""
        try:
            yield
        finally:
            # Also when the stream is closed from outside, which arrives here as an exception.
            context = self.execution_context.context
            if isinstance(context, Context):
                try:
                    await context.aclose()
                finally:
                    await write_denials(context)

    def get_results(self) -> dict[str, Any]:
        """The `extensions` of a result; of a subscription's event, with the statements of all events so far."""
        context = self.execution_context.context
        if not isinstance(context, Context) or context.statements is None:
            return {}
        schema = self.execution_context.schema
        assert isinstance(schema, ColloquySchema)
        limit = schema.settings.limit_cost
        statements = context.statements.total
        return {"cost": {"requested": context.requested_cost, "limit": limit, "sqlStatements": statements}}


class ColloquySchema(Schema):
    """Opens documents within their limits, and turns every error into what a client may see, on every transport."""

    def __init__(
        self, query: type, mutation: type, subscription: type, *, settings: Settings, introspection: bool
    ) -> None:
        super().__init__(
            query,
            mutation,
            subscription,
            extensions=[OperationLog, OperationScope],
            execution_context_class=Executor if introspection else DiscreetExecutor,
            config=StrawberryConfig(scalar_map=SCALARS),
        )
        assert self._schema.mutation_type is not None
        audit_mutations(self._schema.mutation_type)
        self._renderers = None if any(map(_looks_at_results, self.extensions)) else Renderers()
        self.settings = settings
        self.documents = Documents(self._schema, settings, introspection=introspection)

    def renderer(self, executor: Executor, context: Context) -> Renderer | None:
        """What renders the events of a subscription; None where graphql-core must execute all of them."""
        if self._renderers is None or context.document is None:
            return None
        if context.statements is not None:
            return None  # each result says what it cost
        return self._renderers.renderer(executor, context.document)

    async def execute(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any = None,
        root_value: Any = None,
        operation_name: str | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
        operation_extensions: dict[str, Any] | None = None,
    ) -> Any:
        """One result. A subscription has many, and needs a transport that streams.

        Raises `InvalidOperationTypeError`.
        """
        allowed = set(allowed_operation_types or OperationType) - {OperationType.SUBSCRIPTION}
        return await super().execute(
            query, variable_values, context_value, root_value, operation_name, allowed, operation_extensions
        )

    async def operation_type(self, data: GraphQLRequestData, context: Context) -> OperationType | None:
        """What is asked for: query, mutation or subscription. None for what will be refused: the execution says why.

        The context knows it from here on, too.
        """
        extensions, name = data.extensions or {}, data.operation_name or None
        only = self.settings.trusted_documents_only
        try:
            text = await text_to_run(context.services.trusted, data.query, extensions, only_trusted=only)
            if not text:
                return None
            opened = self.documents.open(text, name, data.variables)
        except (GraphQLError, RequestError):
            return None
        found = get_operation_ast(opened.document, name)
        if found is not None and not opened.errors:
            context.asked = asked_by(opened.document, name)
        return None if found is None else OperationType(found.operation.value)

    async def _prepare_operation_async(
        self, context: ExecutionContext, extensions_runner: SchemaExtensionsRunner
    ) -> PreExecutionError | None:
        # "" is no name, whatever has brought it here.
        context._provided_operation_name = context._provided_operation_name or None
        refused = await self._find(context) or self._open(context)
        return refused or await super()._prepare_operation_async(context, extensions_runner)

    async def _find(self, context: ExecutionContext) -> PreExecutionError | None:
        """Put the document's text in its place where it was named by its hash, and see that it may run at all."""
        person = context.context
        if not isinstance(person, Context):
            return None
        given = context.operation_extensions or person.extensions
        try:
            check_extensions(given, self.settings)
            context.query = await text_to_run(
                person.services.trusted, context.query, given, only_trusted=self.settings.trusted_documents_only
            )
        except Exception as error:
            return _refused(context, error)
        person.document = context.query
        if given.get("cost") is True:
            person.report_cost()
        return None

    def _open(self, context: ExecutionContext) -> PreExecutionError | None:
        """Parse, measure and validate, or find it done. Strawberry is left to judge the operation's kind."""
        if not context.query:
            return None  # Strawberry has an answer to that
        try:
            check_variables(context.variables, self.settings)
            opened = self.documents.open(context.query, context.operation_name, context.variables)
            _check_named(context, opened.document)
        except Exception as error:
            return _refused(context, error)
        context.graphql_document = opened.document
        # A list, if only an empty one, is Strawberry's sign that validation has been done. It is changed later.
        context.pre_execution_errors = list(opened.errors)
        person = context.context
        if isinstance(person, Context):
            person.requested_cost = opened.cost
            if not opened.errors:
                person.asked = asked_by(opened.document, context._provided_operation_name)
        return None

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Replace the errors in place: known ones get their code, others are masked and logged."""
        context = execution_context.context if execution_context else None
        request_id = context.request_id if isinstance(context, Context) else "-"
        repeatable = execution_context is not None and not _is_mutation(execution_context)
        errors[:] = [_public(error, request_id, repeatable=repeatable) for error in errors]
        if isinstance(context, Context):
            for error in errors:
                told = error.extensions or {}
                context.error_codes.add(str(told.get("code")))
                if isinstance(wait := told.get("retryAfterMs"), int):
                    context.retry_after_ms = max(context.retry_after_ms or 0, wait)


def _looks_at_results(extension: Any) -> bool:
    """Whether an extension is there for each result or each field, so that nothing may go past it.

    What `OperationScope` adds is asked for by the request, which `ColloquySchema.renderer` knows.
    """
    if not isinstance(extension, type):
        return True
    hooks = {"on_stream_result", "resolve", "get_results"} - ({"get_results"} if extension is OperationScope else set())
    return any(getattr(extension, hook) is not getattr(SchemaExtension, hook) for hook in hooks)


def _refused(context: ExecutionContext, error: Exception) -> PreExecutionError:
    """A fault of ours, too: what is raised before the execution would end a socket with all its operations."""
    refusal = error if isinstance(error, GraphQLError) else GraphQLError(str(error), original_error=error)
    context.pre_execution_errors = [refusal]
    return PreExecutionError(data=None, errors=[refusal])


def _check_named(context: ExecutionContext, document: DocumentNode) -> None:
    """Strawberry would take the first operation where the specification wants to be told which (GetOperation)."""
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    wanted = context._provided_operation_name
    if not operations:
        raise RequestError.bad_input("There is no operation in the document.")
    if not wanted:
        if len(operations) > 1:
            raise RequestError.bad_input("The document has several operations: say in `operationName` which.")
    elif not any(node.name is not None and node.name.value == wanted for node in operations):
        raise RequestError.bad_input(f'Unknown operation named "{wanted[:NAME_CHARS]}".')


def passing(error: BaseException | None, request_id: str, *, repeatable: bool) -> RequestError | None:
    """What to say of trouble that will be over soon, and of which nothing has been done; None for any other.

    A mutation is not `repeatable` in an outage: it may have been done though nobody could say so any more.
    """
    if is_overload(error):
        log.warning("no database connection free", request_id=request_id)
        return RequestError.rate_limited(OVERLOADED, _again_ms())
    if repeatable and error is not None and is_outage(error):
        log.warning("no answer in an outage", request_id=request_id, error=type(error).__name__)
        return RequestError(RequestErrorCode.INTERNAL, AWAY, retry_after_ms=_again_ms())
    return None


def _again_ms() -> int:
    return random.randint(AGAIN_MS // 2, 3 * AGAIN_MS // 2)  # noqa: S311 - no secret


def _is_mutation(execution_context: ExecutionContext) -> bool:
    # Whatever has failed before there was a document, or names no operation of it, has changed nothing.
    document = execution_context.graphql_document
    if document is None:
        return False
    asked = get_operation_ast(document, execution_context._provided_operation_name)
    return asked is not None and asked.operation.value == OperationType.MUTATION.value


def _public(error: GraphQLError, request_id: str, *, repeatable: bool) -> GraphQLError:
    if error.extensions and "requestId" in error.extensions:
        return error
    if isinstance(error, LimitExceededError):
        return GraphQLError(error.message, extensions={**(error.extensions or {}), "requestId": request_id})
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    original = passing(original, request_id, repeatable=repeatable) or original
    extensions: dict[str, object] = {}
    if isinstance(original, RequestError):
        code, message, extensions = original.code, original.message, original.extensions(request_id)
    elif isinstance(error, GraphQLSyntaxError):
        code, message = RequestErrorCode.GRAPHQL_PARSE_FAILED, without_values(error)
    elif original is None or isinstance(original, GraphQLError):
        # graphql-core's own words: validation, or a variable that does not fit its type.
        in_execution = error.path is not None
        code = RequestErrorCode.BAD_USER_INPUT if in_execution else RequestErrorCode.GRAPHQL_VALIDATION_FAILED
        message = without_values(error)
    else:
        code, message = RequestErrorCode.INTERNAL, INTERNAL
        log.error("request failed", request_id=request_id, path=error.path, exc_info=original)
    return GraphQLError(
        message,
        nodes=error.nodes,
        source=error.source,
        positions=error.positions,
        path=error.path,
        extensions=extensions or {"code": code.value, "requestId": request_id},
    )
