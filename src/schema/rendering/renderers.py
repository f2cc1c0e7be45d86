"""A schema's renderers: made once for a document, and the same one for every selection of the same shape."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import sha256
from typing import Any, Final, Generic, TypeVar

import orjson
from graphql import GraphQLError, Node, Visitor, visit
from graphql.execution.executor import Executor

from schema.rendering.errors import UnsupportedError
from schema.rendering.leaves import Project
from schema.rendering.projection import compile_operation

ENTRIES: Final = 1_024
"""Of each memory: documents, documents with the values of their directives' variables, shapes."""
_CONDITIONS: Final = frozenset({"skip", "include"})
V = TypeVar("V")


class Renderer:
    """Makes of an event the `data` of its result."""

    __slots__ = ("_key", "_project")

    def __init__(self, key: str, project: Project) -> None:
        self._key, self._project = key, project

    def __call__(self, event: object) -> bytes | None:
        """JSON; None where graphql-core must execute the event."""
        try:
            return orjson.dumps({self._key: self._project(event)})
        except Exception:
            # Whatever it is, an execution comes upon it, too, and knows what to say of it to whom.
            return None


class Renderers:
    """Remembers them for one schema."""

    def __init__(self) -> None:
        self._variables: _Memory[tuple[str, ...] | None] = _Memory()
        """Of a document's operation, the variables on which its directives depend; None: it has other directives."""
        self._renderers: _Memory[Renderer | None] = _Memory()
        self._shapes: _Memory[Renderer] = _Memory()

    def renderer(self, executor: Executor[Any], document: str) -> Renderer | None:
        """For an operation of the document with that text; None where it is graphql-core's to execute."""
        name = executor.operation.name
        operation = (sha256(document.encode("utf-8", "surrogatepass")).digest(), name and name.value)
        variables = self._variables.get(operation, lambda: _variables_of_directives(executor))
        if variables is None:
            return None
        values = executor.variable_values.coerced
        conditions = (operation, *(values.get(variable) for variable in variables))
        return self._renderers.get(conditions, lambda: self._compile(executor))

    def _compile(self, executor: Executor[Any]) -> Renderer | None:
        try:
            key, project, shape = compile_operation(executor)
        except (UnsupportedError, GraphQLError):
            return None
        return self._shapes.get(shape, lambda: Renderer(key, project))


class _Memory(Generic[V]):
    """The last so many that were made."""

    def __init__(self) -> None:
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """What belongs to the key; made, if it is not remembered."""
        if key not in self._entries:
            self._entries[key] = make()
            if len(self._entries) > ENTRIES:
                self._entries.popitem(last=False)
        return self._entries[key]


class _Directives(Visitor):
    """Collects the names of directives, and of the variables in their arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.directives: set[str] = set()
        self.variables: set[str] = set()
        self._depth = 0

    def enter_directive(self, node: Any, *_: Any) -> None:
        self.directives.add(node.name.value)
        self._depth += 1

    def leave_directive(self, *_: Any) -> None:
        self._depth -= 1

    def enter_variable(self, node: Any, *_: Any) -> None:
        if self._depth:
            self.variables.add(node.name.value)


def _variables_of_directives(executor: Executor[Any]) -> tuple[str, ...] | None:
    found = _Directives()
    nodes: list[Node] = [executor.operation, *executor.fragment_definitions.values()]
    for node in nodes:
        visit(node, found)
    return tuple(sorted(found.variables)) if found.directives <= _CONDITIONS else None
