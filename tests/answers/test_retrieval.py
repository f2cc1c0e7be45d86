"""From a question to its passages: what is told where nothing is near, what is not embedded twice, who judges anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from conversing import kinds, text_of

from answers import retrieval
from core.ids import TenantId, new_id
from core.settings import Settings
from datastores.query_vectors import QueryVectors
from datastores.redis_circuit import RedisCircuit
from datastores.redis_client import make_redis
from openai_embeddings import EmbeddingsServer, vector_of
from openai_server import Done, OpenAIServer, Refuse, Say, Until
from pdfs import typeset
from product import Person, Product, running_product
from rerank_server import Fault, RerankServer, rerank_server
from wire import in_time, openai, openai_embeddings

PASSAGES = """query($q: String!) { viewer { passages(query: $q, first: 10) {
  score distance page chunk { text } document { name } } } }"""
QUOTED = """query($id: ID!) { node(id: $id) { ... on Answer { citations {
  quote start end page chunk { start end text } document { page(number: 1) { text } } } } } }"""
SAYS = [Say("So it is"), Say(" [1]."), Say(finish="stop"), Done()]


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[EmbeddingsServer, OpenAIServer, RerankServer, Settings]]:
    async with (
        openai(lasting) as (chat, talking),
        rerank_server() as judge,
        openai_embeddings(talking, chat_provider="openai", rerank_model="judge-1", rerank_base_url=judge.base_url) as (
            server,
            settings,
        ),
    ):
        server.vectors = _near_the_sea
        yield server, chat, judge, settings


@pytest.fixture(scope="module")
async def own(made: tuple[EmbeddingsServer, OpenAIServer, RerankServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[3]) as running:
        yield running


@pytest.fixture
async def person(own: Product) -> Person:
    return await own.sign_up()


@pytest.fixture
def server(made: tuple[EmbeddingsServer, OpenAIServer, RerankServer, Settings]) -> EmbeddingsServer:
    made[0].asked.clear()
    return made[0]


@pytest.fixture
def chat(made: tuple[EmbeddingsServer, OpenAIServer, RerankServer, Settings]) -> OpenAIServer:
    made[1].renew()
    made[1].script = list(SAYS)
    return made[1]


@pytest.fixture
def judge(made: tuple[EmbeddingsServer, OpenAIServer, RerankServer, Settings]) -> RerankServer:
    made[2].asked.clear()
    made[2].fault = None
    made[2].judge = lambda query, document: 0.0
    return made[2]


def _near_the_sea(text: str, dimensions: int) -> list[float]:
    """What speaks of the sea points in one direction, give or take a little; what does not, in its own."""
    own = np.array(vector_of(text, dimensions))
    own /= np.linalg.norm(own)
    sea = np.ones(dimensions) / np.sqrt(dimensions)
    return [float(value) for value in (sea + 0.6 * own if "sea" in text else own)]


async def test_where_nothing_is_near_the_nearest_passages_are_named_with_their_pages(
    person: Person, judge: RerankServer, chat: OpenAIServer
) -> None:
    await person.ready_document(typeset((72, 100, "Fares are four crowns.")), "fares.pdf")
    await person.ready_document(b"Dogs are kept on a lead.", "dogs.txt")
    events = await in_time(person.ask("What is a quark?"))
    assert kinds(events)[:4] == ["Started", "RETRIEVING", "READING", "NEAREST_PASSAGES"]
    read, nearest = (event["detail"] for event in events[2:4])
    assert read == "No passage is near enough to the question."
    assert sorted(nearest.split("; ")) == ["dogs.txt", "fares.pdf, page 1"]
    # The model is told of none of them, and no citation is left of what it says.
    assert "(no passage was found)" in chat.asked[-1].body["messages"][-1]["content"]
    assert "fares" not in str(chat.asked[-1].body)
    assert text_of(events) == "So it is."
    assert judge.asked == []


async def test_where_something_is_near_or_nothing_is_there_no_nearest_passages_are_named(
    person: Person, judge: RerankServer, chat: OpenAIServer
) -> None:
    assert "NEAREST_PASSAGES" not in kinds(await in_time(person.ask("Where is the sea?")))
    await person.ready_document(b"By the sea it is windy.")
    events = await in_time(person.ask("Where is the sea?"))
    assert "NEAREST_PASSAGES" not in kinds(events)
    assert "So it is [1]." in text_of(events)


async def test_neighbours_are_one_source_without_their_overlap_and_a_quote_has_its_place(
    person: Person, judge: RerankServer, chat: OpenAIServer
) -> None:
    lines = [f"At mile {number} the sea is {number * 3} fathoms deep and as green as glass." for number in range(20)]
    await person.ready_document("\n".join(lines).encode(), "soundings.txt")
    chat.script = [Say("At mile 7 it is 21 fathoms deep"), Say(" [1]."), Say(finish="stop"), Done()]
    events = await in_time(person.ask("How deep is the sea?"))
    prompt = chat.asked[-1].body["messages"][-1]["content"]
    assert "[1] soundings.txt" in prompt
    assert "[2]" not in prompt
    assert [prompt.count(line) for line in lines] == [1] * 20
    assert next(event["detail"] for event in events if event.get("step") == "READING") == "1 passage from soundings.txt"
    found = await person.query(QUOTED, id=events[-1]["answer"]["id"])
    (cited,) = found["node"]["citations"]
    assert cited["quote"] == lines[7]
    assert cited["document"]["page"]["text"][cited["start"] : cited["end"]] == lines[7]
    assert cited["chunk"]["start"] <= cited["start"] < cited["end"] <= cited["chunk"]["end"]
    assert lines[7] in cited["chunk"]["text"]


async def test_a_question_is_embedded_once_for_its_organisation_and_for_nobody_else(
    own: Product, person: Person, judge: RerankServer, server: EmbeddingsServer, chat: OpenAIServer
) -> None:
    await in_time(person.ask("Where is the sea?"))
    await in_time(person.ask("Where is the sea?"))
    await person.query(PASSAGES, q="Where is the sea?")
    assert server.batches == [1]
    await person.query(PASSAGES, q="where is the sea?")
    assert server.batches == [1, 1]
    stranger = await own.sign_up()
    await stranger.query(PASSAGES, q="Where is the sea?")
    assert server.batches == [1, 1, 1]


async def test_a_kept_vector_counts_for_its_model_its_size_its_server_and_its_time_alone(lasting: Settings) -> None:
    redis = make_redis(lasting)
    tenant, vector = TenantId(new_id()), np.array([0.6, 0.8], dtype=np.float32)
    kept = QueryVectors(redis, RedisCircuit(), ttl=60, servers=["a"])
    await kept.put(tenant, "m@2", "Why?\ud800", vector)
    found = await kept.get(tenant, "m@2", 2, "Why?\ud800")
    assert found is not None
    np.testing.assert_array_equal(found, vector)
    (key,) = [key async for key in redis.scan_iter(f"colloquy:{tenant.hex}:query-vector:*")]
    assert 0 < await redis.ttl(key) <= 60
    assert await kept.get(tenant, "m@2", 3, "Why?\ud800") is None
    assert await kept.get(tenant, "n@2", 2, "Why?\ud800") is None
    assert await kept.get(TenantId(new_id()), "m@2", 2, "Why?\ud800") is None
    assert await QueryVectors(redis, RedisCircuit(), ttl=60, servers=["b"]).get(tenant, "m@2", 2, "Why?\ud800") is None
    assert await QueryVectors(redis, RedisCircuit(), ttl=0, servers=["a"]).get(tenant, "m@2", 2, "Why?\ud800") is None
    await redis.aclose()


async def test_without_redis_there_is_no_kept_vector_and_no_error(lasting: Settings) -> None:
    redis = make_redis(lasting.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    away = QueryVectors(redis, RedisCircuit(), ttl=60, servers=[])
    await away.put(TenantId(new_id()), "m@2", "Why?", np.array([0.6, 0.8], dtype=np.float32))
    assert await away.get(TenantId(new_id()), "m@2", 2, "Why?") is None
    await redis.aclose()


async def _order(person: Person) -> list[tuple[str, float]]:
    found: dict[str, Any] = await person.query(PASSAGES, q="Which sea is it?")
    return [(each["chunk"]["text"], each["score"]) for each in found["viewer"]["passages"]]


async def test_a_reranker_s_order_counts_where_there_is_one(person: Person, judge: RerankServer) -> None:
    texts = ["The sea of Azov, that sea.", "A red sea.", "The dead sea, which is a lake."]
    for number, text in enumerate(texts):
        await person.ready_document(text.encode(), f"sea{number}.txt")
    judge.judge = lambda query, document: float(texts.index(document)) if query == "Which sea is it?" else -1.0
    assert await _order(person) == [(texts[2], 2.0), (texts[1], 1.0), (texts[0], 0.0)]
    assert sorted(judge.asked[-1].body["documents"]) == sorted(texts)


@pytest.mark.parametrize("fault", [Refuse(503), Refuse(401), Until()], ids=["503", "401", "hangs"])
async def test_without_the_reranker_s_judgement_the_fused_order_stands(
    person: Person, judge: RerankServer, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "RERANK_SECONDS", 0.3)
    texts = ["The sea of Azov, that sea.", "Which sea is it?"]
    for number, text in enumerate(texts):
        await person.ready_document(text.encode(), f"sea{number}.txt")
    judge.judge = lambda query, document: float(document == texts[0])
    assert [text for text, _ in await _order(person)] == texts
    judge.fault = fault
    order = await in_time(_order(person))
    assert [text for text, _ in order] == texts[::-1]
    assert order[0][1] > order[1][1]
    if isinstance(fault, Until):
        await in_time(judge.cancelled.wait())
