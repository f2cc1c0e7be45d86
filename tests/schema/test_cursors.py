"""A cursor belongs to the list that gave it out, and to no other."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from product import Person, Product

PAGE = "edges { cursor } pageInfo { endCursor }"
LISTS = {
    "assistants": f"query($after: String) {{ viewer {{ list: assistants(after: $after) {{ {PAGE} }} }} }}",
    "conversations": f"query($after: String) {{ viewer {{ list: conversations(after: $after) {{ {PAGE} }} }} }}",
    "documents": f"query($after: String) {{ viewer {{ list: documents(after: $after) {{ {PAGE} }} }} }}",
    "messages": "query($after: String, $id: ID!) { viewer: node(id: $id) { ... on Conversation { "
    f"list: messages(after: $after) {{ {PAGE} }} }} }} }}",
    "messages of another conversation": "query($after: String, $other: ID!) { viewer: node(id: $other) { "
    f"... on Conversation {{ list: messages(after: $after) {{ {PAGE} }} }} }} }}",
    "messages before": "query($after: String, $id: ID!) { viewer: node(id: $id) { ... on Conversation { "
    f"list: messages(last: 5, before: $after) {{ {PAGE} }} }} }} }}",
}
SAME = {"messages", "messages before"}


@pytest.fixture
async def person(product: Product) -> Person:
    """Somebody who has something in each list."""
    person = await product.sign_up()
    await person.upload(b"The harbour of Vexholm freezes in December.\n")
    return person


async def conversations(person: Person) -> dict[str, str]:
    """Two conversations with a message each, as the variables of `LISTS`."""
    ids = {"id": await person.conversation(), "other": await person.conversation()}
    for conversation in ids.values():
        await person.send(conversation, "When does the harbour freeze?")
    return ids


async def page(person: Person, name: str, ids: dict[str, str], after: str | None = None) -> dict[str, Any]:
    """The response of that list after that cursor."""
    used = {key: value for key, value in ids.items() if f"${key}:" in LISTS[name]}
    return await person.raw(LISTS[name], after=after, **used)


async def test_a_cursor_is_accepted_by_its_own_list_and_refused_by_every_other(person: Person) -> None:
    ids = await conversations(person)
    cursors = {}
    for name in LISTS:
        found = (await page(person, name, ids))["data"]["viewer"]["list"]
        assert found["pageInfo"]["endCursor"] == found["edges"][-1]["cursor"]
        cursors[name] = found["pageInfo"]["endCursor"]
        assert "errors" not in await page(person, name, ids, cursors[name])
    for made, asked in permutations(LISTS, 2):
        body = await page(person, asked, ids, cursors[made])
        if {made, asked} == SAME:
            assert "errors" not in body
            continue
        (error,) = body["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT", (made, asked)
        assert "is not a cursor of this connection" in error["message"]
