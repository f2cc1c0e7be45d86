"""A question whose embedding fails: asked for again as a model is, and told; then the answer fails in clear words."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest
from conversing import retries, text_of

from core.settings import Settings
from openai_embeddings import EmbeddingsServer, Fault
from openai_server import Cut, Refuse, Until
from product import Person, Product, running_product
from wire import in_time, openai_embeddings

DOCUMENT = b"Vexholm was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[EmbeddingsServer, Settings]]:
    async with openai_embeddings(lasting, provider_timeout=1.0) as (server, settings):
        # Every text in one direction: what is found is not what is tested.
        server.vectors = lambda text, size: [1.0] * size
        yield server, settings


@pytest.fixture(scope="module")
async def own(made: tuple[EmbeddingsServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[1]) as running:
        somebody = await running.sign_up()
        await somebody.ready_document(DOCUMENT)
        # Loads the local answerer, which may take longer than its time.
        await somebody.ask(QUESTION)
        yield running


@pytest.fixture
async def person(own: Product, server: EmbeddingsServer) -> Person:
    """Somebody with a document to ask about."""
    person = await own.sign_up(f"embedding{time.monotonic_ns()}@example.test")
    await person.ready_document(DOCUMENT)
    server.asked.clear()
    return person


@pytest.fixture
def server(made: tuple[EmbeddingsServer, Settings]) -> EmbeddingsServer:
    made[0].faults, made[0].fault = [], None
    return made[0]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Refuse(429, headers={"Retry-After": "0.01"}), "The model is busy. Trying again"),
        (Refuse(503), "The model cannot be reached. Trying again"),
        (Cut(), "The model cannot be reached. Trying again"),
        (Until(), "The model did not answer in time. Trying again"),
    ],
    ids=["429", "503", "cut", "hangs"],
)
async def test_a_question_is_embedded_at_the_third_try(
    person: Person, server: EmbeddingsServer, fault: Fault, reason: str
) -> None:
    server.faults = [fault, fault]
    events = await in_time(person.ask(QUESTION))
    assert retries(events) == [f"{reason} (try 2 of 3).", f"{reason} (try 3 of 3)."]
    assert events[-1]["__typename"] == "AnswerCompleted"
    assert "1432" in text_of(events)
    assert server.batches == [1, 1, 1]


@pytest.mark.parametrize(
    ("fault", "code", "asked", "retryable"),
    [
        (Refuse(503), "PROVIDER_UNAVAILABLE", 3, True),
        (Refuse(401), "PROVIDER_AUTH", 1, False),
        (Refuse(429, headers={"Retry-After": "100"}), "PROVIDER_RATE_LIMITED", 1, True),
    ],
    ids=["503", "key", "a long wait"],
)
async def test_what_does_not_get_better_fails_the_answer(
    person: Person, server: EmbeddingsServer, fault: Fault, code: str, asked: int, retryable: bool
) -> None:
    server.fault = fault
    events = await in_time(person.ask(QUESTION))
    failure = events[-1]["failure"]
    assert (failure["code"], failure["retryable"]) == (code, retryable)
    assert (len(server.asked), len(retries(events))) == (asked, asked - 1)
