"""What people do to documents, and what is left of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from owner import as_owner, counts, kept_files
from product import Person

_ERRORS = "... on UserError { code reason: message } ... on InvalidInput { field }"
_DOCUMENT = "document { id name status failure { code } progress { chunksDone chunksTotal } }"
CANCEL = f"""mutation($input: CancelDocumentInput!) {{ cancelDocument(input: $input) {{ __typename
  ... on CancelDocumentPayload {{ {_DOCUMENT} }} {_ERRORS} }} }}"""
RETRY = f"""mutation($input: RetryDocumentInput!) {{ retryDocument(input: $input) {{ __typename
  ... on RetryDocumentPayload {{ {_DOCUMENT} }} ... on DuplicateDocument {{ document {{ id }} }} {_ERRORS} }} }}"""
DELETE = f"""mutation($input: DeleteDocumentInput!) {{ deleteDocument(input: $input) {{ __typename
  ... on DeleteDocumentPayload {{ documentId }} {_ERRORS} }} }}"""
PASSAGES = "query($question: String!) { viewer { passages(query: $question) { document { id } chunk { text } } } }"
WAITING = """SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
  WHERE datname = current_database() AND NOT granted"""
"""How many wait for somebody else's lock."""


async def change(person: Person, mutation: str, document_id: str) -> dict[str, Any]:
    """The result of one of the mutations."""
    (result,) = (await person.query(mutation, input={"documentId": document_id})).values()
    return result  # type: ignore[no-any-return]


async def found(person: Person, question: str) -> list[str]:
    """The texts of the passages that a question finds."""
    passages = (await person.query(PASSAGES, question=question))["viewer"]["passages"]
    return [passage["chunk"]["text"] for passage in passages]


async def removals(person: Person) -> list[UUID]:
    """The documents whose files wait to be removed."""
    statement = "SELECT id FROM outbox WHERE tenant_id = $1 AND topic = 'file' ORDER BY id"
    return [row[0] for row in await as_owner(person.product.settings, statement, person.tenant_id)]


async def assert_nothing_left(person: Person) -> None:
    """No row and no file of any document of the person's organisation, and none that waits to be removed."""
    assert set((await counts(person)).values()) == {0}
    assert kept_files(person) == []
    assert await removals(person) == []
