"""PostgreSQL is away for a moment: who asks is told to ask again, and who changes something is not."""

from __future__ import annotations

from typing import Any

import pytest

from core.settings import Settings
from product import START, Person, running_product
from wire import relayed

ANSWER = "subscription($id: ID!) { answer(id: $id) { __typename } }"


async def refused(person: Person, query: str, **variables: Any) -> dict[str, Any]:
    """The extensions of the one error, on a socket."""
    async with person.product.socket(person.token) as socket:
        payload = {"query": query, "variables": variables}
        await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
        message = await socket.receive_json()
    errors = message["payload"] if message["type"] == "error" else message["payload"]["errors"]
    return errors[0]["extensions"]  # type: ignore[no-any-return]


@pytest.mark.long
@pytest.mark.timeout(60)
async def test_whoever_asks_in_an_outage_may_ask_again(settings: Settings) -> None:
    assert settings.database_url is not None
    async with (
        relayed(settings.database_url) as (url, relay),
        running_product(settings.model_copy(update={"database_url": url, "cache_ttl_sessions": 600})) as product,
    ):
        person = await product.sign_up()
        await person.ready_document(b"The harbour of Vexholm freezes in December.\n")
        sent = await person.send(await person.conversation(), "When does the harbour freeze?")
        async with product.socket(person.token):  # so that who signs in is at hand
            await relay.close()
            asked = [
                await refused(person, ANSWER, id=sent["answer"]["id"]),
                (await person.raw("{ viewer { conversations { nodes { id } } } }"))["errors"][0]["extensions"],
            ]
            changed = (await person.raw(START, input={}))["errors"][0]["extensions"]
            await relay.listen_again()
        for extensions in asked:
            assert extensions["code"] == "INTERNAL"
            assert 500 <= extensions["retryAfterMs"] <= 1_500
        assert changed["code"] == "INTERNAL"
        assert "retryAfterMs" not in changed
        events = [event async for event in person.follow(sent["answer"]["id"])]
        assert events[-1]["__typename"] == "AnswerCompleted"
