"""Client libraries, as they are published, against the running product."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from node_programs import RunNode

from app.trusted_documents import add
from core.settings import Settings
from owner import until
from product import START, Person, Product, running_product
from scripted_socket import COMPLETE, answer_event, refusal, scripted_socket

HERE = Path(__file__).resolve().parent
TEXT = b"The capital of Norlandia is Vexholm. Vexholm was founded in 1432 by Queen Astrid."
QUESTION = "When was Vexholm founded?"
FOUNDED = "Vexholm was founded in 1432 by Queen Astrid."


async def _run(run_node: RunNode, program: str, person: Person, *arguments: str) -> dict[str, Any]:
    """The last line that a program prints."""
    output = await run_node(program, f"{person.product.url}/graphql", person.token, *arguments)
    return json.loads(output.splitlines()[-1])  # type: ignore[no-any-return]


async def test_graphql_ws_follows_an_answer_to_its_end(product: Product, run_node: RunNode) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    sent = await person.send(await person.conversation(), QUESTION)
    said = await _run(run_node, "graphql_ws.mjs", person, sent["answer"]["id"])
    assert said["text"] == said["stored"]
    assert FOUNDED in said["text"]
    assert (said["connections"], said["closed"]) == (1, [])


async def test_graphql_sse_follows_an_answer_to_its_end(product: Product, run_node: RunNode) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    sent = await person.send(await person.conversation(), QUESTION)
    said = await _run(run_node, "graphql_sse.mjs", person, sent["answer"]["id"])
    assert said["text"] == said["stored"]
    assert FOUNDED in said["text"]
    assert (said["email"], said["wrong"]) == (person.email, ["GRAPHQL_VALIDATION_FAILED"])


async def test_the_typescript_loop_of_the_streaming_page_runs_as_it_stands(product: Product, run_node: RunNode) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    sent = await person.send(await person.conversation(), QUESTION)
    said = await _run(run_node, "streaming_page.mjs", person, sent["answer"]["id"])
    last = [event async for event in person.follow(sent["answer"]["id"])][-1]
    assert said["text"] == last["answer"]["message"]["text"]
    assert said["connections"] > 1
    refused = await _run(run_node, "streaming_page.mjs", replace(person, token="no token"), sent["answer"]["id"])
    assert refused["error"] == "refused: 4403 UNAUTHENTICATED: The access token is not valid. Sign in again."
    missing = await _run(run_node, "streaming_page.mjs", person, "ans_0")
    assert "not an id" in missing["error"]


async def test_the_typescript_loop_waits_as_long_as_it_is_told_and_longer_from_time_to_time(run_node: RunNode) -> None:
    script = (
        [refusal("RATE_LIMITED", "Too often.", retryAfterMs=700)],
        [answer_event("AnswerStarted", "c1"), answer_event("AnswerDelta", "c2", text="In ")],
        [],
        [refusal("RATE_LIMITED", "Too often.", retryAfterMs=10)],
        [answer_event("AnswerDelta", "c3", text="1432."), answer_event("AnswerCompleted", "c4"), COMPLETE],
    )
    async with scripted_socket(*script) as (port, asked):
        output = await run_node("streaming_page.mjs", f"http://127.0.0.1:{port}", "token", "ans_1")
    assert json.loads(output.splitlines()[-1]) == {"text": "In 1432.", "connections": 5}
    assert [after for _, after in asked] == [None, None, "c2", "c2", "c2"]
    told, first, second, told_again = (later - earlier for (earlier, _), (later, _) in pairwise(asked))
    # setTimeout may come a millisecond early.
    assert told >= 0.69
    assert 0.49 <= first < second < 2
    assert second >= 0.99
    assert told_again < second


async def test_apollo_subscribes_over_http_by_its_multipart_protocol(product: Product, run_node: RunNode) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    sent = await person.send(await person.conversation(), QUESTION)
    said = await _run(run_node, "apollo_multipart.mjs", person, sent["answer"]["id"])
    assert said["error"] is None
    assert said["text"] == said["stored"]
    assert FOUNDED in said["text"]
    assert "id" in said["foreign"]
    assert said["email"] == person.email
    assert said["types"][0] == "multipart/mixed"


async def test_urql_queries_mutates_subscribes_and_keeps_its_document_cache_right(
    product: Product, run_node: RunNode
) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    said = await _run(run_node, "urql.mjs", person)
    assert (said["email"], said["started"]) == (person.email, ["First", "Second"])
    assert (said["before"], said["cached"]) == (["First"], "hit")
    assert said["after"] == ["Second", "First"]
    # Two mutations, the query twice over the network and once from the cache, and `sendMessage`.
    assert said["requests"] == 5
    assert said["text"] == said["stored"]
    assert FOUNDED in said["text"]


async def test_apollo_uploads_a_file_asks_and_reads_the_answer(product: Product, run_node: RunNode) -> None:
    person = await product.sign_up()
    said = await _run(run_node, "apollo.mjs", person, TEXT.decode())
    document = said["document"]
    assert (document["name"], document["contentType"], document["byteSize"]) == (
        "r\u00e9sum\u00e9.txt",
        "text/plain",
        len(TEXT),
    )
    assert said["progress"]["status"] == "READY"
    assert FOUNDED in said["text"]
    assert (said["cached"], said["read"]["status"]) == ("COMPLETED", "COMPLETED")
    assert said["read"]["message"]["text"] == said["text"]
    assert said["read"]["citations"] == [
        {"__typename": "Citation", "marker": 1, "quote": FOUNDED, "documentName": "r\u00e9sum\u00e9.txt"}
    ]


async def test_apollo_sends_the_hash_alone_of_what_an_operator_has_registered(
    product: Product, shared_settings: Settings, run_node: RunNode, tmp_path: Path
) -> None:
    person = await product.sign_up()
    settings = shared_settings.model_copy(update={"cache_ttl_trusted_documents": 0.05})
    async with running_product(settings, worker=False, flush=False) as willing:
        there = replace(person, product=willing)
        unknown = await _run(run_node, "apollo_persisted.mjs", there)
        assert ["query" in body for body in unknown["sent"]] == [False, True]
        file = tmp_path / "me.graphql"
        file.write_text(unknown["document"])
        await add(settings, [file])
        await until(lambda: willing.services.trusted.knows(sha256(file.read_bytes()).hexdigest()))
        known = await _run(run_node, "apollo_persisted.mjs", there)
    assert ["query" in body for body in known["sent"]] == [False]
    assert unknown["email"] == known["email"] == person.email


async def test_relay_compiles_against_the_schema_and_pages_through_its_connections(
    product: Product, run_node: RunNode, tmp_path: Path
) -> None:
    person = await product.sign_up()
    await person.ready_document(TEXT)
    started = [await person.query(START, input={"title": title}) for title in ("Asked", "B", "C", "D", "E")]
    asked = started[0]["startConversation"]["conversation"]["id"]
    questions = [f"{QUESTION} Once more, {number}." for number in range(3)]
    for question in questions:
        assert (await person.ask(question, asked))[-1]["__typename"] == "AnswerCompleted"
    said = await _run(run_node, "relay.mjs", person, str(await _compiled(run_node, tmp_path)))
    # The newest activity comes first, and each page is added to what is there.
    order = ["Asked", "E", "D", "C", "B"]
    assert said["pages"] == [order[:2], order[:4], order]
    texts = said["messages"][-1]
    assert texts[::2] == questions
    assert [len(page) for page in said["messages"]] == [2, 4, 6]
    assert all(FOUNDED in text for text in texts[1::2])
    assert said["answer"]["status"] == "COMPLETED"
    assert said["answer"]["citations"][0]["quote"] == FOUNDED
    assert said["prepended"] == "Begun by Relay"
    user = {"id": person.user_id, "name": "Pat", "role": "BUSINESS"}
    assert said["node"] == {"typename": "User", **user, "other": None}


async def _compiled(run_node: RunNode, folder: Path) -> Path:
    """The folder of the artifacts that relay-compiler makes of `relay/Page.js` and the published schema."""
    shutil.copytree(HERE / "relay", folder / "source")
    shutil.copy(HERE.parents[1] / "schema.graphql", folder / "schema.graphql")
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    configuration = {
        "src": "./source",
        "schema": "./schema.graphql",
        "artifactDirectory": "./artifacts",
        "language": "javascript",
        "eagerEsModules": False,  # which leave the endings of files to a bundler
    }
    (folder / "relay.config.json").write_text(json.dumps(configuration))
    await run_node("node_modules/relay-compiler/cli.js", "relay.config.json", folder=folder)
    return artifacts
