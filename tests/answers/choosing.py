"""A product with two vendors at their wires, and assistants that choose between them."""

from __future__ import annotations

from typing import Any

from product import START, Person

CREATE = """mutation($input: CreateAssistantInput!) { createAssistant(input: $input) { __typename
  ... on CreateAssistantPayload { assistant { id } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""
UPDATE = """mutation($input: UpdateAssistantInput!) { updateAssistant(input: $input) { __typename
  ... on UpdateAssistantPayload { assistant { id } }
  ... on UserError { code message } ... on InvalidInput { field } } }"""


async def create(person: Person, **fields: Any) -> dict[str, Any]:
    """The result of `createAssistant`."""
    return (await person.query(CREATE, input={"name": "Support", **fields}))["createAssistant"]  # type: ignore[no-any-return]


async def update(person: Person, assistant_id: str, **fields: Any) -> dict[str, Any]:
    """The result of `updateAssistant`."""
    values = {"assistantId": assistant_id, **fields}
    return (await person.query(UPDATE, input=values))["updateAssistant"]  # type: ignore[no-any-return]


async def assistant(person: Person, **fields: Any) -> str:
    """The id of a new assistant."""
    made = await create(person, **fields)
    assert made["__typename"] == "CreateAssistantPayload", made
    return made["assistant"]["id"]  # type: ignore[no-any-return]


async def ask(person: Person, assistant_id: str, question: str) -> list[dict[str, Any]]:
    """All events of the answer, in a conversation of its own with that assistant."""
    started = (await person.query(START, input={"assistantId": assistant_id}))["startConversation"]
    return await person.ask(question, started["conversation"]["id"])
