"""The shape of a document: what can be counted without the schema. Each node is looked at once.

Fragments are measured once, however often they are spread; what depends on them is put together in an order in
which each comes after those that it spreads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
)

from core.settings import Settings
from schema.limits.inputs import check_literals
from schema.limits.refusal import Limit, hold

_WITHOUT_DEPTH = frozenset({"edges", "node"})
"""A connection's plumbing: a page of a list is as deep with it as without."""


@dataclass(slots=True)
class Definition:
    """One operation or fragment: its depth without its spreads, and its spreads with the depth that each is at."""

    depth: int = 0
    spreads: list[tuple[str, int]] = field(default_factory=list)


@dataclass(slots=True)
class Shape:
    """What a document that has been measured looks like."""

    operations: list[tuple[OperationDefinitionNode, int]] = field(default_factory=list)
    """Each operation with its depth."""
    fragments: list[FragmentDefinitionNode] = field(default_factory=list)
    """Each after those that it spreads."""
    cyclic: bool = False
    """Fragments spread each other in a circle: there is no depth and no cost, and validation will say so."""


def measure(document: DocumentNode, settings: Settings) -> Shape:
    """Count a document. Raises `LimitExceededError` for what is beyond its limit, but for the depth."""
    hold(Limit.DEFINITIONS, settings.limit_definitions, len(document.definitions))
    counts = _Counts()
    operations: list[tuple[OperationDefinitionNode, Definition]] = []
    nodes: dict[str, FragmentDefinitionNode] = {}
    fragments: dict[str, Definition] = {}
    for node in document.definitions:
        if isinstance(node, OperationDefinitionNode):
            counts.variables(node)
            operations.append((node, counts.definition(node)))
        elif isinstance(node, FragmentDefinitionNode):
            # Of two with one name the last counts; validation refuses both.
            nodes[node.name.value] = node
            fragments[node.name.value] = counts.definition(node)
    hold(Limit.OPERATIONS, settings.limit_operations, len(operations))
    hold(Limit.SELECTIONS, settings.limit_selections, counts.selections)
    hold(Limit.ALIASES, settings.limit_aliases, counts.aliases)
    hold(Limit.DIRECTIVES, settings.limit_directives, counts.directives)
    hold(Limit.MERGES, settings.limit_merges, counts.merges)
    check_literals(counts.literals, settings)
    order = _dependencies_first(fragments)
    if order is None:
        return Shape(cyclic=True)
    depths: dict[str, int] = {}
    for name in order:
        depths[name] = _depth(fragments[name], depths)
    return Shape([(node, _depth(own, depths)) for node, own in operations], [nodes[name] for name in order])


class _Counts:
    """Sums over the whole document."""

    def __init__(self) -> None:
        self.selections = self.aliases = self.directives = self.merges = 0
        self.literals: list[ValueNode] = []

    def variables(self, node: OperationDefinitionNode) -> None:
        for variable in node.variable_definitions or ():
            self._directives(variable.directives)
            if variable.default_value is not None:
                self.literals.append(variable.default_value)

    def definition(self, node: OperationDefinitionNode | FragmentDefinitionNode) -> Definition:
        self._directives(node.directives)
        found = Definition()
        # What is selected, the depth of the field it belongs to, and the response names of that level so far.
        stack: list[tuple[SelectionSetNode, int, dict[str, int]]] = [(node.selection_set, 0, {})]
        while stack:
            selection_set, depth, names = stack.pop()
            self.selections += len(selection_set.selections)
            for selection in selection_set.selections:
                self._directives(selection.directives)
                if isinstance(selection, FieldNode):
                    name = selection.name.value
                    below = depth if name in _WITHOUT_DEPTH else depth + 1
                    found.depth = max(found.depth, below)
                    if selection.alias is not None:
                        self.aliases += 1
                        name = selection.alias.value
                    # Each field is compared with all those before it that have its name.
                    seen = names.get(name, 0)
                    names[name] = seen + 1
                    self.merges += seen
                    self.literals.extend(argument.value for argument in selection.arguments or ())
                    if selection.selection_set is not None:
                        stack.append((selection.selection_set, below, {}))
                elif isinstance(selection, FragmentSpreadNode):
                    found.spreads.append((selection.name.value, depth))
                else:
                    stack.append((selection.selection_set, depth, names))  # type: ignore[attr-defined]
        return found

    def _directives(self, directives: Iterable[DirectiveNode] | None) -> None:
        for directive in directives or ():
            self.directives += 1
            self.literals.extend(argument.value for argument in directive.arguments or ())


def _depth(definition: Definition, depths: Mapping[str, int]) -> int:
    deepest = definition.depth
    for name, at in definition.spreads:
        deepest = max(deepest, at + depths.get(name, 0))
    return deepest


def _dependencies_first(fragments: Mapping[str, Definition]) -> list[str] | None:
    """The fragments' names, each after those that it spreads; None when they go in a circle."""
    order: list[str] = []
    done: set[str] = set()
    for root in fragments:
        if root in done:
            continue
        path = [(root, iter(fragments[root].spreads))]
        on_path = {root}
        while path:
            name, spreads = path[-1]
            for spread, _ in spreads:
                if spread in on_path:
                    return None
                if spread in fragments and spread not in done:
                    path.append((spread, iter(fragments[spread].spreads)))
                    on_path.add(spread)
                    break
            else:
                path.pop()
                on_path.remove(name)
                done.add(name)
                order.append(name)
    return order
