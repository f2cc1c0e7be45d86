"""Embeddings of an OpenAI-compatible server, against one that speaks the protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from core.errors import ConfigurationError, ErrorCode, ProviderError
from openai_embeddings import EmbeddingsServer, Fault, embeddings_server, vector_of
from openai_server import Cut, Page, Raw, Refuse, Until
from providers.openai import OpenAIEmbeddings
from wire import in_time


@pytest.fixture
async def server() -> AsyncIterator[EmbeddingsServer]:
    async with embeddings_server() as running:
        yield running


@pytest.fixture
async def embeddings(server: EmbeddingsServer) -> AsyncIterator[OpenAIEmbeddings]:
    async with aclosing(embeddings_with(server)) as provider:
        yield provider


def embeddings_with(server: EmbeddingsServer, **changes: Any) -> OpenAIEmbeddings:
    values: dict[str, Any] = {"api_key": "test-key-1", "model": "text-embedding-3-small", "timeout": 5.0}
    return OpenAIEmbeddings(**{**values, "base_url": server.base_url, **changes})


def expected(texts: list[str], dimensions: int) -> np.ndarray[Any, Any]:
    """What a server says of the texts, each at length 1."""
    rows = np.array([vector_of(text, dimensions) for text in texts])
    unit: np.ndarray[Any, Any] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


async def failure(embeddings: OpenAIEmbeddings, texts: tuple[str, ...] = ("a", "b")) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await in_time(embeddings.embed_documents(texts))
    assert "internal" not in caught.value.message
    return caught.value


@pytest.mark.parametrize("base64", [True, False], ids=["base64", "numbers"])
async def test_a_full_batch_is_one_request_with_unit_rows_in_the_order_of_the_texts(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings, base64: bool
) -> None:
    server.base64 = base64
    server.arrange = lambda data: data[::-1]
    texts = [f"chunk {number}" for number in range(100)]
    with capture_logs() as lines:
        vectors = await embeddings.embed_documents(texts)
    assert (vectors.shape, vectors.dtype) == ((100, 1536), np.float32)
    np.testing.assert_allclose(vectors, expected(texts, 1536), atol=1e-6)
    (asked,) = server.asked
    assert asked.path == "/v1/embeddings"
    assert asked.body == {"model": "text-embedding-3-small", "input": texts, "encoding_format": "base64"}
    assert asked.headers["authorization"] == "Bearer test-key-1"
    # A product that tests share may log in between.
    assert [(line["texts"], line["tokens"]) for line in lines if line["event"] == "embedded"] == [(100, 200)]


async def test_a_question_is_one_unit_vector(server: EmbeddingsServer, embeddings: OpenAIEmbeddings) -> None:
    vector = await embeddings.embed_query("What is it?")
    assert (vector.shape, vector.dtype) == ((1536,), np.float32)
    np.testing.assert_allclose(vector, expected(["What is it?"], 1536)[0], atol=1e-6)


async def test_a_size_that_is_not_the_model_s_own_is_asked_for_and_is_part_of_the_space(
    server: EmbeddingsServer,
) -> None:
    async with aclosing(embeddings_with(server, dimensions=512)) as provider:
        assert (provider.model_id, provider.dimensions) == ("text-embedding-3-small@512", 512)
        assert (await provider.embed_documents(["a"])).shape == (1, 512)
        assert server.asked[0].body["dimensions"] == 512
    async with aclosing(embeddings_with(server, dimensions=1536)) as provider:
        assert provider.model_id == embeddings_with(server).model_id == "text-embedding-3-small@1536"
        await provider.embed_documents(["a"])
        assert "dimensions" not in server.asked[1].body


async def test_a_server_of_ones_own_is_asked_without_a_key_and_needs_its_size(server: EmbeddingsServer) -> None:
    with pytest.raises(ConfigurationError, match=r"OPENAI_EMBEDDING_DIMENSIONS.*'my-model'"):
        embeddings_with(server, model="my-model")
    server.size = 640
    async with aclosing(embeddings_with(server, api_key=None, model="my-model", dimensions=640)) as provider:
        assert (await provider.embed_documents(["a"])).shape == (1, 640)
    assert "authorization" not in server.asked[0].headers


def test_ollama_s_tags_do_not_hide_a_model_that_is_known() -> None:
    provider = OpenAIEmbeddings(api_key=None, model="nomic-embed-text:v1.5", base_url="http://127.0.0.1:1/v1")
    assert provider.model_id == "nomic-embed-text:v1.5@768"
    for name in ("a'; DROP TABLE embeddings", "a@b", "", "x" * 91):
        with pytest.raises(ConfigurationError, match="OPENAI_EMBEDDING_MODEL"):
            OpenAIEmbeddings(api_key=None, model=name, dimensions=5)


@pytest.mark.parametrize("name", ["dimensions", "encoding_format"])
async def test_a_parameter_that_the_server_does_not_take_is_left_out_from_then_on(
    server: EmbeddingsServer, name: str
) -> None:
    server.refuses, server.size, server.base64 = (name,), 512, False
    async with aclosing(embeddings_with(server, dimensions=512)) as provider:
        for _ in range(2):
            np.testing.assert_allclose(await provider.embed_documents(["a"]), expected(["a"], 512), atol=1e-6)
    assert [name in asked.body for asked in server.asked] == [True, False, False]


async def test_another_size_than_expected_names_the_setting_and_is_not_tried_again(server: EmbeddingsServer) -> None:
    server.cuts = False
    async with aclosing(embeddings_with(server, dimensions=512)) as provider:
        error = await failure(provider)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, False)
    assert "gives 1536 numbers for a text, and 512 were expected" in error.message
    assert "OPENAI_EMBEDDING_DIMENSIONS" in error.message


async def test_a_batch_that_is_too_large_for_the_server_goes_in_halves_and_stays_small(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings
) -> None:
    server.most_texts = 32
    texts = [f"chunk {number}" for number in range(100)]
    np.testing.assert_allclose(await embeddings.embed_documents(texts), expected(texts, 1536), atol=1e-6)
    assert server.batches == [100, 50, 25, 25, 25, 25]
    await embeddings.embed_documents(texts[:30])
    assert server.batches[6:] == [25, 5]


async def test_one_text_that_is_too_long_is_told_as_such(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings
) -> None:
    # OpenAI's words.
    server.fault = Refuse(400, {"message": "internal: This model's maximum context length is 8192 tokens, …"})
    error = await failure(embeddings)
    assert (error.code, error.retryable) == (ErrorCode.CONTEXT_TOO_LONG, False)
    assert error.message == "A text is longer than the embedding model reads."
    assert server.batches == [2, 1]


async def test_no_texts_ask_nobody(server: EmbeddingsServer, embeddings: OpenAIEmbeddings) -> None:
    assert (await embeddings.embed_documents([])).shape == (0, 1536)
    assert server.asked == []


@pytest.mark.parametrize("texts", [["a"] * 101, ["a", " \n"]], ids=["101 texts", "a blank one"])
async def test_a_batch_that_the_vendor_would_refuse_is_not_sent(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings, texts: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"limit is 100|blank"):
        await embeddings.embed_documents(texts)
    assert server.asked == []


@pytest.mark.parametrize(
    "vectors",
    [
        lambda text, size: vector_of(text, size if text == "a" else 3),
        lambda text, size: [0.0] * size,
        lambda text, size: [1e300] * size,
        lambda text, size: [None] * size,
        lambda text, size: ["no"] * size,
        lambda text, size: [[1.0]] * size,
    ],
    ids=["one too short", "zeros", "too large", "nulls", "words", "nested"],
)
async def test_vectors_of_no_use_are_a_bad_response(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings, vectors: Callable[[str, int], list[Any]]
) -> None:
    server.base64, server.vectors = False, vectors
    error = await failure(embeddings)
    assert (error.code, error.retryable) == (ErrorCode.PROVIDER_BAD_RESPONSE, True)


@pytest.mark.parametrize(
    "arrange",
    [
        lambda data: data[:1],
        lambda data: [data[0], data[0]],
        lambda data: [data[0], {**data[1], "index": 2}],
        lambda data: [data[0], {**data[1], "index": True}],
        lambda data: [data[0], {**data[1], "embedding": "not base64!"}],
        lambda data: [data[0], {**data[1], "embedding": "abc="}],
        lambda data: [data[0], {"index": 1}],
        lambda data: [data[0], None],
        lambda data: None,
    ],
    ids=["one less", "twice", "index", "no index", "not base64", "not numbers", "no vector", "null", "no list"],
)
async def test_a_list_that_does_not_answer_the_texts_is_a_bad_response(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings, arrange: Callable[[list[dict[str, Any]]], Any]
) -> None:
    server.arrange = arrange
    assert (await failure(embeddings)).code is ErrorCode.PROVIDER_BAD_RESPONSE


@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        (Refuse(401), "PROVIDER_AUTH", False),
        (Refuse(403), "PROVIDER_AUTH", False),
        (Refuse(429), "PROVIDER_RATE_LIMITED", True),
        (Refuse(429, {"code": "insufficient_quota"}), "PROVIDER_RATE_LIMITED", False),
        (Refuse(400, {"code": "content_filter"}), "CONTENT_FILTERED", False),
        (Refuse(400), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, {"message": "internal: model not found"}), "PROVIDER_BAD_RESPONSE", False),
        (Refuse(404, {"message": "Not Found"}), "PROVIDER_UNAVAILABLE", False),
        (Refuse(307, headers={"Location": "http://127.0.0.1:1/"}), "PROVIDER_UNAVAILABLE", False),
        (Refuse(503), "PROVIDER_UNAVAILABLE", True),
        (Refuse(200, {"message": "internal"}), "PROVIDER_UNAVAILABLE", True),
        (Refuse(504), "TIMED_OUT", True),
        (Page("<p>internal</p>", "text/html"), "PROVIDER_BAD_RESPONSE", True),
        (Page("[1]", "application/json"), "PROVIDER_BAD_RESPONSE", True),
        (Page('{"data"', "application/json"), "PROVIDER_BAD_RESPONSE", True),
        (Raw(b'{"object": "list", "data": ['), "PROVIDER_UNAVAILABLE", True),
        (Cut(), "PROVIDER_UNAVAILABLE", True),
    ],
    ids=lambda value: f"{value.status}-{value.error}"[:50] if isinstance(value, Refuse) else None,
)
async def test_each_failure_has_its_code_and_is_not_tried_again_here(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings, fault: Fault, code: str, retryable: bool
) -> None:
    server.fault = fault
    error = await failure(embeddings)
    assert (error.code.value, error.retryable) == (code, retryable)
    assert len(server.asked) == 1


async def test_a_rate_limit_says_when_to_come_back(server: EmbeddingsServer, embeddings: OpenAIEmbeddings) -> None:
    server.fault = Refuse(429, headers={"Retry-After": "12"})
    assert (await failure(embeddings)).retry_after == 12


async def test_a_body_without_end_is_not_kept(server: EmbeddingsServer, embeddings: OpenAIEmbeddings) -> None:
    server.arrange = lambda data: [data[0], {**data[1], "more": " " * 3_000_000}]
    error = await failure(embeddings)
    assert error.code is ErrorCode.PROVIDER_BAD_RESPONSE


async def test_silence_times_out_and_ends_the_call(server: EmbeddingsServer) -> None:
    server.fault = Until()
    async with aclosing(embeddings_with(server, timeout=0.3)) as embeddings:
        error = await failure(embeddings)
        assert (error.code, error.retryable) == (ErrorCode.TIMED_OUT, True)
        await in_time(server.cancelled.wait())


async def test_cancelling_whoever_waits_ends_the_call(server: EmbeddingsServer, embeddings: OpenAIEmbeddings) -> None:
    server.fault = Until()
    task = asyncio.create_task(embeddings.embed_query("a"))
    await in_time(server.arrived.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await in_time(task)
    await in_time(server.cancelled.wait())


async def test_closing_the_provider_fails_its_running_call_and_those_after_it(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings
) -> None:
    server.fault = Until()
    waiting = asyncio.create_task(failure(embeddings))
    await in_time(server.arrived.wait())
    await embeddings.aclose()
    assert (await in_time(waiting)).code is ErrorCode.PROVIDER_UNAVAILABLE
    assert (await failure(embeddings)).code is ErrorCode.PROVIDER_UNAVAILABLE


async def test_the_check_at_start_tells_a_model_that_is_there(
    server: EmbeddingsServer, embeddings: OpenAIEmbeddings
) -> None:
    await embeddings.check_model()
    async with aclosing(embeddings_with(server, model="text-embedding-3-large")) as other:
        with pytest.raises(ConfigurationError, match=r"OPENAI_EMBEDDING_MODEL.*text-embedding-3-large"):
            await other.check_model()
