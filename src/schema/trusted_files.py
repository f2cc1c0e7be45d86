"""The documents in a file that somebody wants to register."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    Visitor,
    parse,
    print_ast,
    visit,
)

from schema.limits.documents import Documents
from schema.persisted import hash_of


class UnfitDocumentError(Exception):
    """A file, or a document in it, cannot be registered. The message is one line, for whoever registers it."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document with one operation, and its name: the SHA-256 of its text."""

    text: str
    operation: str | None
    hash: str


def candidates(content: str, *, manifest: bool) -> list[Candidate]:
    """The documents of a file of GraphQL, or of a manifest that a client's build has written.

    A file with one operation is one document, to the letter. From a file with several, each is one document, with the
    fragments that it uses, printed as graphql-js prints it, which is how client libraries send it. A manifest is
    Apollo's or Relay's JSON. Raises `UnfitDocumentError`.
    """
    try:
        texts = list(_of_manifest(content) if manifest else _of_graphql(content))
        return [Candidate(text, _operation_name(text), hash_of(text)) for text in texts]
    except GraphQLError as error:
        raise UnfitDocumentError(_line(error)) from None


def check(candidate: Candidate, documents: Documents) -> None:
    """Hold a document to schema and limits as a request would be. Raises `UnfitDocumentError`."""
    try:
        errors = documents.open(candidate.text, candidate.operation, None).errors
    except GraphQLError as error:
        errors = [error]
    if errors:
        raise UnfitDocumentError(f"{candidate.operation or 'the operation'}: {_line(errors[0])}")


def _of_graphql(content: str) -> Iterator[str]:
    document = parse(content)
    operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
    if not operations:
        raise UnfitDocumentError("there is no operation in it")
    if len(operations) == 1:
        yield content
        return
    fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
    for operation in operations:
        used = _used(operation, fragments)
        kept = [operation, *(node for name, node in fragments.items() if name in used)]
        yield print_ast(DocumentNode(definitions=tuple(kept)))


def _used(operation: OperationDefinitionNode, fragments: dict[str, FragmentDefinitionNode]) -> set[str]:
    """Names of the fragments that the operation spreads, through others as well."""
    used: set[str] = set()
    waiting: list[OperationDefinitionNode | FragmentDefinitionNode] = [operation]

    class Spreads(Visitor):
        def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
            name = node.name.value
            if name not in used and name in fragments:
                used.add(name)
                waiting.append(fragments[name])

    while waiting:
        visit(waiting.pop(), Spreads())
    return used


def _of_manifest(content: str) -> Iterator[str]:
    try:
        manifest: Any = json.loads(content)
    except ValueError:
        raise UnfitDocumentError("it is not JSON") from None
    if isinstance(manifest, dict) and isinstance(manifest.get("operations"), list):
        entries = [(each.get("id"), each.get("body")) for each in manifest["operations"] if isinstance(each, dict)]
    elif isinstance(manifest, dict):
        entries = list(manifest.items())
    else:
        entries = []
    if not entries:
        raise UnfitDocumentError("it is neither Apollo's manifest nor Relay's")
    for key, text in entries:
        if not isinstance(text, str) or key != hash_of(text):
            raise UnfitDocumentError(f"the id {str(key)[:70]} is not the SHA-256 of its text")
        yield text


def _operation_name(text: str) -> str | None:
    operations = [node for node in parse(text).definitions if isinstance(node, OperationDefinitionNode)]
    if len(operations) != 1:
        raise UnfitDocumentError(f"a document has one operation; there is one with {len(operations)}")
    return operations[0].name.value if operations[0].name else None


def _line(error: GraphQLError) -> str:
    where = f" (line {error.locations[0].line})" if error.locations else ""
    return error.message.replace("\n", " ") + where
