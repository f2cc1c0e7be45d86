"""What an operation costs: how many fields it may have to complete, as a measure of the CPU time that it may take.

A field costs 1, and so does each object that it gives; what takes more to find has a `Price` beside its resolver.
What is in a list counts once for each item: as many as `first` or `last` say, as a list that has to be given has (ids),
or `ASSUMED_ITEMS`. Two fields that will be merged count as two, and so do fragments of which only one can apply.
What the schema says of itself is counted by objects alone, against a limit of its own.

A document is compiled once, with fragments and schema, in time linear in its size. What is left for each request is
to put in the variables that are page sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from graphql import (
    GraphQLCompositeType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_list_type,
    is_required_argument,
    value_from_ast_untyped,
)
from graphql.language import FieldNode, FragmentSpreadNode, InlineFragmentNode

from resolvers.arguments import DEFAULT_PAGE, MAX_PAGE
from schema.limits.measure import Shape
from schema.limits.price import price_of

ASSUMED_ITEMS: Final = 3
"""Of a list without a size of its own: an answer's citations, a question's answers."""
MUTATION_COST: Final = 1_000
"""Some milliseconds: transactions, and a row of the audit log."""
_PAGE_ARGUMENTS: Final = ("first", "last")
_INTROSPECTED: Final = {
    "types": 100, "fields": 6, "args": 2, "inputFields": 4, "enumValues": 6, "interfaces": 1, "possibleTypes": 3,
    "directives": 6,
}  # fmt: skip
"""How many there are of what introspection lists, about; fixed, so that the schema may grow."""


@dataclass(frozen=True, slots=True)
class PageSize:
    """A page size that a variable gives, or several do: the greatest counts."""

    variables: tuple[str, ...]
    at_least: int
    default: int

    def of(self, variables: Mapping[str, Any]) -> int:
        """Items of the page. Sizes that the resolver will refuse count as the nearest one that it would not."""
        given = [value for name in self.variables if (value := variables.get(name)) is not None]
        return max([self.at_least, *map(_page, given)]) if given or self.at_least else self.default


@dataclass(frozen=True, slots=True)
class Length:
    """The length of a list that is a variable."""

    variable: str

    def of(self, variables: Mapping[str, Any]) -> int:
        """Items of the list; one that is no list is one item."""
        value = variables.get(self.variable)
        return len(value) if isinstance(value, list) else 1


Size = int | PageSize | Length


@dataclass(slots=True)
class _Sum:
    """A sum under construction: a number, and products of a size and an earlier step."""

    constant: int = 0
    products: list[tuple[Size, int]] = field(default_factory=list)


@dataclass(slots=True)
class _Cost:
    """The cost of one selection set."""

    own: _Sum = field(default_factory=_Sum)
    each: _Sum = field(default_factory=_Sum)
    """What is in lists without a size: once for each item of the page that the field above has asked for."""
    introspection: int = 0


@dataclass(frozen=True, slots=True)
class OperationCost:
    """Where an operation's cost comes out of the plan, and what its introspection costs."""

    total: int
    step: int | None
    introspection: int
    defaults: Mapping[str, Any]

    @property
    def only_introspection(self) -> bool:
        """Whether nothing but the schema is asked for."""
        return self.step is None and self.introspection == self.total > 0


class Plan:
    """The costs of a document's operations, in their order, as sums that refer to earlier ones."""

    def __init__(self, schema: GraphQLSchema, shape: Shape) -> None:
        self._schema = schema
        self._steps: list[tuple[int, tuple[tuple[Size, int], ...]]] = []
        self._fragments: dict[str, _Cost] = {}
        for fragment in shape.fragments:
            condition = schema.get_type(fragment.type_condition.name.value)
            self._fragments[fragment.name.value] = self._cost(condition, fragment.selection_set)
        self.operations = [self._operation(node) for node, _ in shape.operations]

    def cost(self, operation: OperationCost, variables: Mapping[str, Any] | None) -> int:
        """What an operation of this plan costs with these variables."""
        if operation.step is None:
            return operation.total
        given = {**operation.defaults, **(variables or {})}
        results: list[int] = []
        for constant, products in self._steps:
            total = constant
            for size, step in products:
                total += (size if isinstance(size, int) else size.of(given)) * results[step]
            results.append(total)
        return results[operation.step]

    def _operation(self, node: OperationDefinitionNode) -> OperationCost:
        root = self._schema.get_root_type(node.operation)
        cost = self._cost(root, node.selection_set)
        total = cost.own
        self._multiply(total, ASSUMED_ITEMS, cost.each)
        defaults = {
            variable.variable.name.value: value_from_ast_untyped(variable.default_value)
            for variable in node.variable_definitions or ()
            if variable.default_value is not None
        }
        step = self._step(total) if total.products else None
        return OperationCost(total.constant, step, cost.introspection, defaults)

    def _cost(self, parent: GraphQLNamedType | None, selection_set: SelectionSetNode) -> _Cost:
        cost = _Cost()
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                self._add_field(cost, parent, selection)
            elif isinstance(selection, FragmentSpreadNode):
                # A fragment that does not exist costs nothing: validation will refuse it.
                self._add(cost, self._fragments.get(selection.name.value))
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                inner = parent if condition is None else self._schema.get_type(condition.name.value)
                self._add(cost, self._cost(inner, selection.selection_set))
        return cost

    def _add(self, cost: _Cost, more: _Cost | None) -> None:
        if more is not None:
            self._multiply(cost.own, 1, more.own)
            self._multiply(cost.each, 1, more.each)
            cost.introspection += more.introspection

    def _add_field(self, cost: _Cost, parent: GraphQLNamedType | None, node: FieldNode) -> None:
        definition = self._definition(parent, node)
        if parent is None or definition is None or (parent.name.startswith("__") and node.selection_set is None):
            return  # what validation will refuse, or a value of the introspection
        named = get_named_type(definition.type)
        introspected = named.name.startswith("__")
        price = price_of(definition)
        if not introspected and not (parent is self._schema.query_type and node.name.value == "__typename"):
            cost.own.constant += MUTATION_COST if parent is self._schema.mutation_type else 1 + price.once
        if node.selection_set is None or not is_composite_type(named):
            return
        inner = self._cost(named, node.selection_set)
        size = _size(definition, node)
        listed = is_list_type(get_nullable_type(definition.type))
        item = inner.own
        item.constant += 1 + price.each
        self._multiply(item, size if size is not None and not listed else ASSUMED_ITEMS, inner.each)
        cost.introspection += inner.introspection
        if introspected:
            size = _INTROSPECTED.get(node.name.value)
            if not parent.name.startswith("__"):
                cost.introspection += item.constant
        if not listed:
            self._multiply(cost.own, 1, item)
        elif size is not None:
            self._multiply(cost.own, size, item)
        else:
            self._multiply(cost.each, 1, item)

    def _definition(self, parent: GraphQLNamedType | None, node: FieldNode) -> GraphQLField | None:
        if not is_composite_type(parent):
            return None
        composite: GraphQLCompositeType = parent
        return self._schema.get_field(composite, node.name.value)

    def _multiply(self, total: _Sum, size: Size, item: _Sum) -> None:
        """Add `size` times `item`."""
        if isinstance(size, int) and not item.products:
            total.constant += size * item.constant
        elif item.products or item.constant:
            total.products.append((size, self._step(item)))

    def _step(self, total: _Sum) -> int:
        self._steps.append((total.constant, tuple(total.products)))
        return len(self._steps) - 1


def _size(definition: GraphQLField, node: FieldNode) -> Size | None:
    """How many items the field itself asks for; None where it does not say."""
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    pages = [name for name in _PAGE_ARGUMENTS if name in definition.args]
    if pages:
        default = definition.args[pages[0]].default_value
        return _page_size([given[name] for name in pages if name in given], default)
    for name, argument in definition.args.items():
        if is_required_argument(argument) and is_list_type(get_nullable_type(argument.type)):
            value = given.get(name)
            if isinstance(value, VariableNode):
                return Length(value.name.value)
            return len(value.values) if isinstance(value, ListValueNode) else 1
    return None


def _page_size(given: Sequence[ValueNode], default: Any) -> Size:
    literal = max((_page(int(value.value)) for value in given if isinstance(value, IntValueNode)), default=0)
    variables = tuple(value.name.value for value in given if isinstance(value, VariableNode))
    usual = _page(default) if isinstance(default, int) else DEFAULT_PAGE
    return PageSize(variables, literal, usual) if variables else literal or usual


def _page(value: Any) -> int:
    """A page size as the resolver would take it; what is no number will be refused, and counts as the usual one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return DEFAULT_PAGE
    return int(min(MAX_PAGE, max(1, value)))
