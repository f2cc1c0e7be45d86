"""A fault of ours, over every transport: the client gets a request id, the log gets the rest."""

from __future__ import annotations

import json
import logging
import math
from typing import Any

import pytest

from core.settings import Settings
from multipart import FILE_MAP, Part, file_map, form, operations, send
from owner import as_owner
from product import ANSWER, SEND, START, Product, running_product

CANARY = "canary-of-the-database"
TELLING = (CANARY, "relation", "SELECT", "INSERT", "sqlalchemy", "asyncpg", "Error", "Traceback", ".py", "colloquy_app")
CONVERSATIONS = "{ viewer { user { id } conversations { nodes { id } } } }"


def fault_of(text: str, caplog: pytest.LogCaptureFixture) -> BaseException:
    """What the log has under the one error's request id; the client was told nothing else."""
    for word in TELLING:
        assert word not in text
    body = json.loads(text)
    errors = body["payload"] if isinstance(body.get("payload"), list) else body.get("payload", body)["errors"]
    (error,) = errors
    assert error["extensions"]["code"] == "INTERNAL"
    assert error["message"].startswith("Something went wrong on our side.")
    assert set(error["extensions"]) == {"code", "requestId"}
    events: list[dict[str, Any]] = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    (line,) = [
        event
        for event in events
        if event["event"] == "request failed" and event["request_id"] == error["extensions"]["requestId"]
    ]
    fault = line["exc_info"]
    assert isinstance(fault, BaseException)
    assert fault.__traceback__ is not None
    return fault


async def test_a_failed_statement_is_masked_on_every_transport_and_logged_with_its_traceback(
    own_product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    person = await own_product.sign_up()
    await as_owner(own_product.settings, f'ALTER TABLE conversations RENAME TO "{CANARY}"')
    caplog.set_level(logging.ERROR)
    url, headers = f"{own_product.url}/graphql", {"Authorization": f"Bearer {person.token}"}
    for accept in ("application/json", "application/graphql-response+json"):
        sent = headers | {"Accept": accept}
        async with own_product.http.post(url, json={"query": CONVERSATIONS}, headers=sent) as response:
            assert response.status == 200
            assert 'relation "conversations" does not exist' in str(fault_of(await response.text(), caplog))
    async with own_product.http.get(url, params={"query": CONVERSATIONS}, headers=headers) as response:
        assert 'relation "conversations" does not exist' in str(fault_of(await response.text(), caplog))
    async with own_product.socket(person.token) as socket:
        for query, variables in ((CONVERSATIONS, {}), (ANSWER, {"id": "ans_" + "0" * 32})):
            payload = {"query": query, "variables": variables}
            await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            text = (await socket.receive()).data
            assert 'relation "conversations" does not exist' in str(fault_of(text, caplog))
            if query == CONVERSATIONS:
                assert (await socket.receive_json())["type"] == "complete"


async def test_what_a_statement_says_as_it_fails_stays_with_us(
    own_product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    person = await own_product.sign_up()
    for statement in (
        f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE '{CANARY}'; END $$",
        "CREATE TRIGGER refuse BEFORE INSERT ON conversations FOR EACH ROW EXECUTE FUNCTION refuse()",
    ):
        await as_owner(own_product.settings, statement)
    caplog.set_level(logging.ERROR)
    text = json.dumps(await person.raw(START, input={"title": "A secret title"}))
    fault = fault_of(text, caplog)
    assert CANARY in str(fault)
    assert "A secret title" not in str(fault)
    assert (await person.query(CONVERSATIONS))["viewer"]["conversations"]["nodes"] == []


async def test_a_fault_before_the_operation_is_known_is_masked_too(
    own_product: Product, caplog: pytest.LogCaptureFixture
) -> None:
    person = await own_product.sign_up()
    await as_owner(own_product.settings, f'ALTER TABLE users RENAME TO "{CANARY}"')
    await own_product.services.redis.flushdb()  # who may upload is known from there, too
    caplog.set_level(logging.ERROR)
    file_map = Part("map", json.dumps(FILE_MAP).encode())
    reply = await send(own_product, person.token, form(operations(), file_map, Part("0", b"A text.", "notes.txt")))
    assert reply.status == 500
    assert 'relation "users" does not exist' in str(fault_of(json.dumps(reply.body), caplog))


async def test_who_finds_every_database_connection_in_use_is_told_to_come_later(settings: Settings) -> None:
    tight = {"database_pool_size": 1, "database_pool_overflow": 0, "database_pool_timeout": 0.2}
    async with running_product(settings.model_copy(update=tight), worker=False) as product:
        person = await product.sign_up()
        conversation = await person.conversation()
        url, headers = f"{product.url}/graphql", {"Authorization": f"Bearer {person.token}"}
        async with product.services.postgres.write(person.tenant_id):
            async with product.http.post(url, json={"query": CONVERSATIONS}, headers=headers) as response:
                (error,) = (await response.json())["errors"]
                assert response.headers["Retry-After"] == str(math.ceil(error["extensions"]["retryAfterMs"] / 1_000))
            refused = await person.raw(SEND, input={"conversationId": conversation, "text": "Is anybody there?"})
            # The sender of a form is looked at before the operation is known.
            await product.services.redis.flushdb()
            upload = await send(product, person.token, form(operations(), file_map(), Part("0", b"x" * 40, "a.txt")))
        assert upload.error[:2] == (429, "RATE_LIMITED")
        for told in (error, *refused["errors"]):
            assert told["extensions"]["code"] == "RATE_LIMITED"
            assert 500 <= told["extensions"]["retryAfterMs"] <= 1_500
            assert told["message"] == "Too much is going on at the moment. Try again shortly."
        assert (await person.send(conversation, "Is anybody there?"))["__typename"] == "SendMessagePayload"
