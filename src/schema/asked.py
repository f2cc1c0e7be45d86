"""What an operation asks for: its kind, and its root fields wherever fragments have put them."""

from __future__ import annotations

from collections.abc import Iterator

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    get_operation_ast,
)

from resolvers.context import Asked


def asked_by(document: DocumentNode, operation_name: str | None) -> Asked | None:
    """Of a document that has been validated, so its names are the schema's; None where it does not say which."""
    found = get_operation_ast(document, operation_name)
    if not isinstance(found, OperationDefinitionNode):
        return None
    fields = frozenset(_fields(found.selection_set, document, set()))
    return Asked(found.operation is OperationType.MUTATION, fields)


def _fields(selections: SelectionSetNode, document: DocumentNode, seen: set[str]) -> Iterator[str]:
    for node in selections.selections:
        if isinstance(node, FieldNode):
            yield node.name.value
        elif isinstance(node, InlineFragmentNode):
            yield from _fields(node.selection_set, document, seen)
        elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
            seen.add(node.name.value)
            for definition in document.definitions:
                if isinstance(definition, FragmentDefinitionNode) and definition.name.value == node.name.value:
                    yield from _fields(definition.selection_set, document, seen)
