"""Trusted documents: asked for by their hash on every transport, and, where the setting says so, nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from graphql import get_introspection_query

from app.trusted_documents import add, registered, remove
from core.settings import Settings
from owner import set_role, until
from product import ANSWER, PROGRESS, START, Product, running_product

NAME = "query Name($first: Int) { viewer { user { email } conversations(first: $first) { nodes { id } } } }"
TTL = {"cache_ttl_trusted_documents": 0.05}


def hash_of(text: str) -> str:
    """As any client computes it."""
    return sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    """Apollo's way to name a document."""
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(text)}}}


@pytest.fixture(scope="module")
async def willing(shared_settings: Settings, product: Product) -> AsyncIterator[Product]:
    """The shared product's data, served by a process that soon hears of new documents."""
    async with running_product(shared_settings.model_copy(update=TTL), worker=False, flush=False) as running:
        yield running


@pytest.fixture(scope="module")
async def strict(shared_settings: Settings, product: Product) -> AsyncIterator[Product]:
    """The same, where nothing but trusted documents runs."""
    settings = shared_settings.model_copy(update=TTL | {"trusted_documents_only": True})
    async with running_product(settings, worker=False, flush=False) as running:
        yield running


async def register(product: Product, folder: Path, text: str) -> None:
    """Register a text, and wait until the process has heard of it."""
    file = folder / f"{hash_of(text)}.graphql"
    file.write_text(text)
    await add(product.settings, [file])
    await until(lambda: product.services.trusted.knows(hash_of(text)))


async def on_every_transport(product: Product, request: dict[str, Any], token: str | None) -> list[dict[str, Any]]:
    """What POST, GET and a WebSocket answer, each as a response's body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{product.url}/graphql"
    in_url = {name: value if isinstance(value, str) else json.dumps(value) for name, value in request.items()}
    async with product.http.post(url, json=request, headers=headers) as response:
        posted = await response.json()
    async with product.http.get(url, params=in_url, headers=headers) as response:
        got = await response.json()
    async with product.socket(token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": request})
        frame = await socket.receive_json()
    sent = {"errors": frame["payload"]} if frame["type"] == "error" else frame["payload"]
    return [posted, got, sent]


def code_of(body: dict[str, Any]) -> tuple[str, str]:
    """Code and message of the one error of a request that was not executed."""
    (error,) = body["errors"]
    assert "data" not in body
    assert len(error["extensions"]["requestId"]) == 32
    return error["extensions"]["code"], error["message"]


async def test_a_registered_document_runs_by_its_hash_on_every_transport(
    product: Product, willing: Product, strict: Product, tmp_path: Path
) -> None:
    person = await product.sign_up()
    await register(willing, tmp_path, NAME)
    await until(lambda: strict.services.trusted.knows(hash_of(NAME)))
    for one in (willing, strict):
        for way in (
            persisted(NAME),
            {"documentId": f"sha256:{hash_of(NAME)}"},
            {"query": NAME},
            {"query": NAME} | persisted(NAME),
        ):
            for body in await on_every_transport(one, {**way, "variables": {"first": 3}}, person.token):
                assert body["data"]["viewer"]["user"]["email"] == person.email


@pytest.mark.parametrize("request_body", [{"query": ""}, {"extensions": {"persistedQuery": None}}])
async def test_a_request_without_a_document_is_bad_input_on_a_socket_and_harms_no_other(
    willing: Product, request_body: dict[str, Any]
) -> None:
    async with willing.socket(None) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": request_body})
        frame = await socket.receive_json()
        assert (frame["id"], frame["type"]) == ("1", "error")
        assert code_of({"errors": frame["payload"]}) == ("BAD_USER_INPUT", "There is no `query` in the request.")
        await socket.send_json({"id": "1", "type": "subscribe", "payload": {"query": "{ __typename }"}})
        assert (await socket.receive_json())["payload"]["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("acknowledged", [False, True])
async def test_a_document_named_twice_on_a_socket_comes_after_what_the_protocol_asks_for(
    willing: Product, acknowledged: bool
) -> None:
    twice = {"documentId": f"sha256:{hash_of(NAME)}"} | persisted(NAME)
    async with willing.http.ws_connect(f"{willing.url}/graphql", protocols=("graphql-transport-ws",)) as socket:
        if acknowledged:
            await socket.send_json({"type": "connection_init"})
            assert (await socket.receive_json())["type"] == "connection_ack"
        await socket.send_json({"id": "1", "type": "subscribe", "payload": twice})
        if acknowledged:
            frame = await socket.receive_json()
            assert (frame["type"], "not both" in frame["payload"][0]["message"]) == ("error", True)
        else:
            await socket.receive(timeout=5)
            assert socket.close_code == 4401


UNKNOWN = [
    persisted("{ viewer { __typename } }"),
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash_of(NAME).upper()}}},
    {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": ""}}},
    {"documentId": f"sha256:{'0' * 64}"},
    {"documentId": "x-app:1"},
    {"documentId": hash_of(NAME)},
]


@pytest.mark.parametrize("request_body", UNKNOWN)
async def test_an_unknown_hash_is_told_in_apollo_s_words_on_every_transport(
    willing: Product, strict: Product, request_body: dict[str, Any]
) -> None:
    for one in (willing, strict):
        for body in await on_every_transport(one, request_body, None):
            assert code_of(body) == ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    headers = {"Accept": "application/graphql-response+json"}
    async with willing.http.post(f"{willing.url}/graphql", json=request_body, headers=headers) as response:
        assert response.status == 400


async def test_sending_a_document_with_its_hash_runs_it_and_registers_nothing(willing: Product) -> None:
    text = "{ __typename again: __typename }"
    for body in await on_every_transport(willing, {"query": text} | persisted(text), None):
        assert body["data"]["again"] == "Query"
    for body in await on_every_transport(willing, persisted(text), None):
        assert code_of(body)[0] == "PERSISTED_QUERY_NOT_FOUND"
    assert hash_of(text) not in "".join(await registered(willing.settings))


@pytest.mark.parametrize(
    ("request_body", "reason"),
    [
        ({"query": "{ __typename }"} | persisted(NAME), "does not match"),
        ({"extensions": {"persistedQuery": {"version": 2, "sha256Hash": "0" * 64}}}, "version"),
        ({"extensions": {"persistedQuery": {"version": 1}}}, "sha256Hash"),
        ({"extensions": {"persistedQuery": "0"}}, "sha256Hash"),
        ({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}}, "sha256Hash"),
        ({"documentId": f"sha256:{hash_of(NAME)}"} | persisted(NAME), "not both"),
    ],
)
async def test_a_hash_that_is_none_or_another_document_s_is_the_client_s_mistake(
    willing: Product, strict: Product, request_body: dict[str, Any], reason: str
) -> None:
    for one in (willing, strict):
        for body in await on_every_transport(one, request_body, None):
            code, message = code_of(body)
            assert code == "BAD_USER_INPUT"
            assert reason in message


@pytest.mark.parametrize(
    "query", ["{ __typename }", NAME + " ", NAME.replace("email", "id"), get_introspection_query(), "{ nothing }", "{"]
)
async def test_where_only_trusted_documents_run_nothing_else_does_on_any_transport(
    product: Product, strict: Product, query: str
) -> None:
    person = await product.sign_up()
    for body in await on_every_transport(strict, {"query": query}, person.token):
        code, message = code_of(body)
        assert code == "PERSISTED_QUERY_ONLY"
        assert "registered" in message


async def test_a_mutation_that_is_not_trusted_changes_nothing(product: Product, strict: Product) -> None:
    person = await product.sign_up()
    request = {"query": START, "variables": {"input": {}}}
    async with strict.http.post(
        f"{strict.url}/graphql", json=request, headers={"Authorization": f"Bearer {person.token}"}
    ) as response:
        assert code_of(await response.json())[0] == "PERSISTED_QUERY_ONLY"
    async with strict.socket(person.token) as socket:
        await socket.send_json({"id": "1", "type": "subscribe", "payload": request})
        assert (await socket.receive_json())["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_ONLY"
    assert (await person.query(NAME))["viewer"]["conversations"]["nodes"] == []


async def test_a_mutation_is_not_run_by_get_whatever_names_it(
    product: Product, strict: Product, tmp_path: Path
) -> None:
    person = await product.sign_up()
    await register(strict, tmp_path, START)
    parameters = {"documentId": f"sha256:{hash_of(START)}", "variables": '{"input": {}}'}
    headers = {"Authorization": f"Bearer {person.token}"}
    async with strict.http.get(f"{strict.url}/graphql", params=parameters, headers=headers) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
    assert (await person.query(NAME))["viewer"]["conversations"]["nodes"] == []
    async with strict.http.post(
        f"{strict.url}/graphql", json=persisted(START) | {"variables": {"input": {}}}, headers=headers
    ) as response:
        assert "conversation" in (await response.json())["data"]["startConversation"]


async def test_a_removed_document_stops_on_every_process(willing: Product, strict: Product, tmp_path: Path) -> None:
    text = "query Short { __typename }"
    await register(willing, tmp_path, text)
    await until(lambda: strict.services.trusted.knows(hash_of(text)))
    await remove(willing.settings, hash_of(text))

    async def gone(one: Product) -> bool:
        return not await one.services.trusted.knows(hash_of(text))

    for one in (willing, strict):
        await until(lambda one=one: gone(one))  # type: ignore[misc]
        for body in await on_every_transport(one, persisted(text), None):
            assert code_of(body)[0] == "PERSISTED_QUERY_NOT_FOUND"
    for body in await on_every_transport(strict, {"query": text}, None):
        assert code_of(body)[0] == "PERSISTED_QUERY_ONLY"


async def test_a_weaker_role_keeps_a_person_s_own_answer_that_was_asked_for_by_hash(
    settings: Settings, tmp_path: Path
) -> None:
    changed = settings.model_copy(update=TTL | {"local_token_interval_ms": 250})
    async with running_product(changed, worker=False) as slow:
        person = await slow.sign_up()
        await register(slow, tmp_path, ANSWER)
        document = (await person.upload(b"A text that is long enough to be read."))["document"]["id"]
        answer = (await person.send(await person.conversation(), "When does the ferry leave?"))["answer"]["id"]
        frames: dict[str, list[dict[str, Any]]] = {"progress": [], "answer": []}
        async with slow.socket(person.token) as socket:
            for id, payload in (
                ("progress", {"query": PROGRESS, "variables": {"id": document}}),
                ("answer", persisted(ANSWER) | {"variables": {"id": answer}}),
            ):
                await socket.send_json({"id": id, "type": "subscribe", "payload": payload})
            while not all(frames.values()):
                frame = await socket.receive_json()
                frames[frame["id"]].append(frame)
            await set_role(person, "USER")
            while frames["answer"][-1]["type"] == "next":
                frame = await socket.receive_json()
                frames[frame["id"]].append(frame)
    assert frames["progress"][-1]["type"] == "error"
    assert frames["answer"][-1]["type"] == "complete"
    assert frames["answer"][-2]["payload"]["data"]["answer"]["__typename"] == "AnswerCompleted"
