"""Gemini's embeddings over the real SDK, against a local server that speaks the vendor's wire protocol over TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import grpc
import numpy as np
import pytest
from gemini_server import Fail, GeminiServer, Raw, Until, gemini_server, in_time, vector_of

from core.errors import ConfigurationError, ErrorCode, ProviderError
from providers.gemini import GeminiEmbeddings


@pytest.fixture
async def server() -> AsyncIterator[GeminiServer]:
    async with gemini_server() as running:
        yield running


@pytest.fixture
async def embeddings(server: GeminiServer) -> AsyncIterator[GeminiEmbeddings]:
    async with aclosing(embeddings_with(server)) as provider:
        yield provider


def embeddings_with(
    server: GeminiServer, *, model: str = "gemini-embedding-001", timeout: float = 5.0
) -> GeminiEmbeddings:
    return GeminiEmbeddings(
        api_key="test-key-1",
        model=model,
        timeout=timeout,
        endpoint=server.endpoint,
        root_certificates=server.root_certificates,
    )


async def test_a_full_batch_is_one_call_with_unit_rows_in_the_order_of_the_texts(
    server: GeminiServer, embeddings: GeminiEmbeddings
) -> None:
    texts = [f"chunk {number}" for number in range(100)]
    vectors = await embeddings.embed_documents(texts)
    assert (vectors.shape, vectors.dtype) == ((100, 768), np.float32)
    expected = np.array([vector_of(text, 768) for text in texts])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)
    (asked,) = server.asked
    assert asked.message.model == "models/gemini-embedding-001"
    assert {(one.model, one.task_type.name, one.output_dimensionality) for one in asked.message.requests} == {
        ("models/gemini-embedding-001", "RETRIEVAL_DOCUMENT", 768)
    }
    assert asked.metadata["x-goog-api-key"] == "test-key-1"


async def test_a_question_is_one_unit_vector_asked_for_as_a_question(
    server: GeminiServer, embeddings: GeminiEmbeddings
) -> None:
    vector = await embeddings.embed_query("What is it? \ud800")
    assert (vector.shape, vector.dtype) == ((768,), np.float32)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-6)
    (one,) = server.asked[0].message.requests
    assert (one.task_type.name, one.content.parts[0].text) == ("RETRIEVAL_QUERY", "What is it? ?")


async def test_the_model_id_names_the_vector_space(server: GeminiServer) -> None:
    provider = GeminiEmbeddings(
        api_key="k", dimensions=1536, endpoint=server.endpoint, root_certificates=server.root_certificates
    )
    async with aclosing(provider):
        assert (provider.model_id, provider.dimensions) == ("gemini-embedding-001@1536", 1536)
        assert (await provider.embed_documents(["a"])).shape == (1, 1536)


async def test_no_texts_ask_nobody(server: GeminiServer, embeddings: GeminiEmbeddings) -> None:
    assert (await embeddings.embed_documents([])).shape == (0, 768)
    assert server.asked == []


@pytest.mark.parametrize("texts", [["a"] * 101, ["a", " \n"]], ids=["101 texts", "a blank one"])
async def test_a_batch_that_the_vendor_would_refuse_is_not_sent(
    server: GeminiServer, embeddings: GeminiEmbeddings, texts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"limit is 100|blank"):
        await embeddings.embed_documents(texts)
    assert server.asked == []


@pytest.mark.parametrize(
    "vectors",
    [
        lambda text, dimensions: vector_of(text, dimensions * 4),
        lambda text, dimensions: vector_of(text, dimensions if text == "a" else 3),
        lambda text, dimensions: [0.0] * dimensions,
        lambda text, dimensions: [float("nan")] * dimensions,
        lambda text, dimensions: [],
    ],
    ids=["too long", "one too short", "zeros", "not numbers", "empty"],
)
async def test_vectors_of_no_use_are_a_bad_response(
    server: GeminiServer, embeddings: GeminiEmbeddings, vectors: Callable[[str, int], list[float]]
) -> None:
    server.vectors = vectors
    assert (await failure(embeddings)).code is ErrorCode.PROVIDER_BAD_RESPONSE


@pytest.mark.parametrize("answer", [b"", b"\xff\xff\xff"], ids=["no vectors", "garbage"])
async def test_an_answer_that_is_empty_or_garbled_is_a_bad_response(
    server: GeminiServer, embeddings: GeminiEmbeddings, answer: bytes
) -> None:
    server.embedding_script = [Raw(answer)]
    error = await failure(embeddings)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, True)


async def test_a_rate_limit_says_when_to_come_back_and_is_not_retried_here(
    server: GeminiServer, embeddings: GeminiEmbeddings
) -> None:
    server.embedding_script = [Fail(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=12)]
    error = await failure(embeddings)
    assert (error.code, error.retryable, error.retry_after) == (ErrorCode.PROVIDER_RATE_LIMITED, True, 12)
    assert len(server.asked) == 1


async def test_an_unavailable_vendor_is_not_retried_here(server: GeminiServer, embeddings: GeminiEmbeddings) -> None:
    server.embedding_script = [Fail(grpc.StatusCode.UNAVAILABLE)]
    error = await failure(embeddings)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_UNAVAILABLE, True)
    assert len(server.asked) == 1


async def test_a_dead_model_is_told_with_the_setting_that_names_it(
    server: GeminiServer, embeddings: GeminiEmbeddings
) -> None:
    server.embedding_script = [Fail(grpc.StatusCode.NOT_FOUND)]
    error = await failure(embeddings)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, False)
    assert "GEMINI_EMBEDDING_MODEL" in error.message


async def test_silence_times_out_and_ends_the_vendors_call(server: GeminiServer) -> None:
    server.embedding_script = [Until()]
    async with aclosing(embeddings_with(server, timeout=1.0)) as embeddings:
        assert (await failure(embeddings)).code is ErrorCode.TIMED_OUT
        await in_time(server.cancelled.wait())


async def test_cancelling_the_task_ends_the_vendors_call(server: GeminiServer, embeddings: GeminiEmbeddings) -> None:
    server.embedding_script = [Until()]
    task = asyncio.create_task(embeddings.embed_query("a"))
    await in_time(server.arrived.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_time(task)
    await in_time(server.cancelled.wait())


async def test_closing_the_provider_fails_its_running_call(server: GeminiServer, embeddings: GeminiEmbeddings) -> None:
    server.embedding_script = [Until()]
    waiting = asyncio.create_task(failure(embeddings))
    await in_time(server.arrived.wait())
    await embeddings.aclose()
    assert (await in_time(waiting)).code is ErrorCode.PROVIDER_UNAVAILABLE


async def test_the_check_at_start_tells_a_living_embedding_model_from_others(
    server: GeminiServer, embeddings: GeminiEmbeddings
) -> None:
    await embeddings.check_model()
    for model, complaint in (("text-embedding-004", "has no model"), ("gemini-2.5-flash", "cannot do embedContent")):
        async with aclosing(embeddings_with(server, model=model)) as other:
            with pytest.raises(ConfigurationError, match=rf"GEMINI_EMBEDDING_MODEL.*{complaint}"):
                await other.check_model()


async def failure(embeddings: GeminiEmbeddings) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await in_time(embeddings.embed_documents(["a", "b"]))
    return caught.value
