"""Documents whose vectors are an OpenAI-compatible server's, from upload to answer, beside those of another space."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from ingesting import job_services, queued

from core.settings import Settings
from jobs import embedding
from openai_embeddings import EmbeddingsServer, vector_of
from openai_server import Cut, Refuse
from owner import as_owner
from product import Product, running_product
from wire import in_time, openai_embeddings

VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
# With a tag, as Ollama's names have it. The colon is part of the space's name in SQL, where it may begin a parameter.
MODEL = "nomic-embed-text-:v1.5"


@pytest.fixture
async def server_and_settings(settings: Settings) -> AsyncIterator[tuple[EmbeddingsServer, Settings]]:
    async with openai_embeddings(settings, openai_embedding_model=MODEL, openai_embedding_dimensions=768) as (
        server,
        changed,
    ):
        server.models, server.size, server.vectors = {MODEL}, 768, _near
        yield server, changed


@pytest.fixture
async def idle(server_and_settings: tuple[EmbeddingsServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(server_and_settings[1], worker=False) as product:
        yield product


def _near(text: str, dimensions: int) -> list[float]:
    """All texts about Vexholm lie in one direction."""
    if "Vexholm" not in text:
        return vector_of(text, dimensions)
    return [float(value) for value in np.ones(dimensions)]


async def test_a_document_is_embedded_and_found_in_the_server_s_space_and_old_ones_stay_in_theirs(
    idle: Product, server_and_settings: tuple[EmbeddingsServer, Settings]
) -> None:
    server, settings = server_and_settings
    person = await idle.sign_up()
    # Founded before this server was set: its vectors are local, and stay so.
    elder = await idle.sign_up()
    space = "UPDATE tenants SET embedding_model_id = 'all-MiniLM-L6-v2' WHERE id = $1"
    await as_owner(settings, space, elder.tenant_id)
    async with job_services(settings) as services:
        for somebody in (person, elder):
            document = await queued(idle, VEXHOLM, person=somebody)
            await document.run(services)
            assert (await document.state()).status == "READY"
    assert await as_owner(
        settings, "SELECT tenant_id, model_id, vector_dims(vector) FROM embeddings ORDER BY 3 DESC"
    ) == [(person.tenant_id, f"{MODEL}@768", 768), (elder.tenant_id, "all-MiniLM-L6-v2", 384)]
    assert server.batches == [1]
    assert server.asked[-1].body["input"] == [VEXHOLM.decode().strip()]
    for somebody in (person, elder):
        events: list[dict[str, Any]] = await in_time(somebody.ask(QUESTION))
        assert events[-1]["__typename"] == "AnswerCompleted"
        assert "1432" in "".join(event.get("text", "") for event in events)
    assert server.batches == [1, 1]


async def test_a_server_that_stumbles_is_tried_again_and_a_refused_key_fails_the_document(
    idle: Product, server_and_settings: tuple[EmbeddingsServer, Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, settings = server_and_settings
    monkeypatch.setattr(embedding, "EMBEDDING_BACKOFF", 0.05)
    async with job_services(settings) as services:
        document = await queued(idle, VEXHOLM)
        server.faults = [Refuse(429, headers={"Retry-After": "0.1"}), Cut()]
        await document.run(services)
        assert (await document.state()).status == "READY"
        assert server.batches == [1, 1, 1]
        server.faults = [Refuse(401)]
        refused = await queued(idle, b"Another text.\n", "other.txt")
        await refused.run(services)
        state = await refused.state()
        assert (state.status, state.code, state.retryable) == ("FAILED", "PROVIDER_AUTH", False)
        # Its text stays, for a retry with another key.
        assert await refused.rows() == {"pages": 1, "chunks": 1, "embeddings": 0}
