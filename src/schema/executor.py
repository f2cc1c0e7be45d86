"""What we change in how graphql-core executes: contexts of events, turns for others, and how large a response may be.

The overridden methods are private to graphql-core and Strawberry: `tests/schema/test_hooks.py` names them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable
from typing import Any, Final

from graphql import ExecutionResult, get_named_type, is_composite_type
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter

from core.errors import ResponseTooLargeError
from core.settings import MEBIBYTE, Settings
from resolvers.context import Context
from schema.limits.refusal import Limit, LimitExceededError
from schema.rendering.source import RenderableSource

AT_ONCE: Final = 10
"""Objects of a list, which are completed in a millisecond or two."""
LARGE: Final = 1_000
"""Fields, up to which an operation takes no rest, and its loaders' batches are not divided: some ten milliseconds."""


class Executor(StrawberryGraphQLCoreExecutionContext):
    """Gives each event of a subscription a context of its own (fresh loaders, a transaction that ends with it), and all
    others their turn."""

    _fields = 0
    _text_bytes = 0

    def cancellable_iterable(self, iterable: Any) -> Any:
        """The subscription's events, as the resolver returned them, before the first is taken. Those that can be
        rendered without being executed take the short way, where there is one."""
        context = self.context_value
        if isinstance(iterable, RenderableSource) and isinstance(context, Context):
            schema = self.schema.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
            outlet, renderer = context.outlet, schema.renderer(self, context)
            if outlet is not None and renderer is not None:
                iterable.send_through(outlet, renderer)
        return super().cancellable_iterable(iterable)

    def build_per_event_executor(self, payload: Any) -> Any:
        """The executor for one event."""
        executor: Any = super().build_per_event_executor(payload)
        # graphql-core 3.3.2 shares this cache with every later event and never empties it: about 1.4 kB an event.
        executor._relevant_sub_fields = {}
        parent: Context = self.context_value
        executor.context_value = _EventContext(parent)
        return executor

    def complete_list_value(self, return_type: Any, nodes: Any, info: Any, path: Any, result: Any, *rest: Any) -> Any:
        """Complete a list; one of many objects step by step."""
        if isinstance(result, list) and len(result) > AT_ONCE and is_composite_type(get_named_type(return_type)):
            result = self._in_turns(result)
        return super().complete_list_value(return_type, nodes, info, path, result, *rest)

    async def complete_awaitable_value(
        self, return_type: Any, nodes: Any, info: Any, path: Any, result: Any, *rest: Any
    ) -> Any:
        """Complete what has been waited for: a loader's batch gives a thousand fields their values in one moment."""
        return await super().complete_awaitable_value(return_type, nodes, info, path, self._in_turn(result), *rest)

    async def _in_turns(self, items: list[Any]) -> AsyncGenerator[Any, None]:
        for item in items:
            await self._step()
            yield item

    async def _in_turn(self, value: Awaitable[Any]) -> Any:
        found = await value
        await self._step()
        return found

    def execute_fields(self, parent: Any, source: Any, path: Any, fields: Any, *rest: Any) -> Any:
        """Complete the fields of one object; how many there have been says how large the result is."""
        self._fields += len(fields)
        return super().execute_fields(parent, source, path, fields, *rest)

    async def _step(self) -> None:
        if self._fields > LARGE and isinstance(self.context_value, Context):
            await self.context_value.services.turns.wait()

    def complete_leaf_value(self, return_type: Any, result: Any) -> Any:  # type: ignore[override]
        """Complete a value. Texts that are beyond the limit are left out of the result, which will be refused."""
        value = super().complete_leaf_value(return_type, result)
        if type(value) is str:
            self._text_bytes += len(value) if value.isascii() else len(value.encode("utf-8", "surrogatepass"))
            if self._text_bytes > MEBIBYTE and self._is_too_large():
                return ""
        return value

    def execute_operation(self, serially: bool | None = None) -> Any:
        """Execute, and end the event's transaction afterwards."""
        result = super().execute_operation(serially)
        return self._ended(result) if self.is_awaitable(result) else self._bounded(result)

    async def _ended(self, result: Awaitable[Any]) -> Any:
        try:
            return self._bounded(await result)
        finally:
            if isinstance(self.context_value, _EventContext):
                await self.context_value.aclose()

    def _is_too_large(self) -> bool:
        context = self.context_value
        return isinstance(context, Context) and self._text_bytes > context.services.settings.limit_response_bytes

    def _bounded(self, result: Any) -> Any:
        """The result, or one error in its place: a part of it would be taken for the whole."""
        if not isinstance(result, ExecutionResult) or not isinstance(self.context_value, Context):
            return result
        refused = any(isinstance(error.original_error, ResponseTooLargeError) for error in result.errors or ())
        if refused or self._is_too_large():
            return ExecutionResult(None, [response_too_large(self.context_value.services.settings)])
        return result


class DiscreetExecutor(Executor):
    """Says nothing of the schema that was not asked for by its name: no "Did you mean"."""

    @classmethod
    def build(cls, *args: Any, **kwargs: Any) -> Any:
        """The executor of an operation, or what is wrong with its variables."""
        return super().build(*args, **{**kwargs, "hide_suggestions": True})


class _EventContext(Context):
    """The context of one event, for the person as the subscription knows it by then (`Context.see_as`)."""

    def __init__(self, parent: Context) -> None:
        super().__init__(parent.services, parent.claims, parent.public_url)
        self._person = parent.known_person
        self.statements = parent.statements
        self.request_id = parent.request_id
        self.error_codes = parent.error_codes


def response_too_large(settings: Settings) -> LimitExceededError:
    """The one error of a response that would be larger than is allowed."""
    return LimitExceededError(Limit.RESPONSE_BYTES, settings.limit_response_bytes)
