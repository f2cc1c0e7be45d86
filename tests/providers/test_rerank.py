"""The reranker at its wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest

from core.errors import ConfigurationError, ErrorCode, ProviderError
from core.settings import Settings
from providers.registry import Providers
from providers.rerank import HttpReranker
from rerank_server import RerankServer, rerank_server
from scripted_server import Page, Refuse

TENANT = uuid4()
TEXTS = ["Boats leave at noon.", "The fare is four crowns.", "The fare is due in May."]


@pytest.fixture
async def server() -> AsyncIterator[RerankServer]:
    async with rerank_server() as running:
        running.judge = lambda query, document: float(len(set(query.split()) & set(document.split())))
        yield running


@pytest.fixture
async def reranker(server: RerankServer) -> AsyncIterator[HttpReranker]:
    made = HttpReranker(base_url=server.base_url, api_key="key-1", model="judge-1")
    yield made
    await made.aclose()


async def test_each_text_gets_its_score_in_the_order_of_the_texts(reranker: HttpReranker, server: RerankServer) -> None:
    assert await reranker.rerank("The fare is what?", TEXTS, tenant_id=TENANT) == [0.0, 3.0, 3.0]
    (asked,) = server.asked
    assert asked.body == {"model": "judge-1", "query": "The fare is what?", "documents": TEXTS, "top_n": 3}
    assert asked.headers["authorization"] == "Bearer key-1"


async def test_nothing_is_asked_about_nothing(reranker: HttpReranker, server: RerankServer) -> None:
    assert await reranker.rerank("What?", [], tenant_id=TENANT) == []
    assert server.asked == []


_Results = list[dict[str, Any]]


@pytest.mark.parametrize(
    "arrange",
    [
        lambda results: results[:2],
        lambda results: [results[0], results[0], results[1]],
        lambda results: [{**result, "index": result["index"] + 1} for result in results],
        lambda results: [{**result, "index": True} for result in results],
        lambda results: [{**result, "relevance_score": "high"} for result in results],
        lambda results: [{**result, "relevance_score": float("nan")} for result in results],
        lambda results: [{**result, "relevance_score": True} for result in results],
        lambda results: [1, 2, 3],
        lambda results: "none",
    ],
    ids=["fewer", "twice", "beyond", "no index", "no number", "nan", "bool", "no objects", "no list"],
)
async def test_an_answer_that_does_not_fit_is_refused(
    reranker: HttpReranker, server: RerankServer, arrange: Callable[[_Results], Any]
) -> None:
    server.arrange = arrange
    with pytest.raises(ProviderError) as raised:
        await reranker.rerank("What?", TEXTS, tenant_id=TENANT)
    assert raised.value.code is ErrorCode.PROVIDER_BAD_RESPONSE


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (Refuse(401), ErrorCode.PROVIDER_AUTH),
        (Refuse(429), ErrorCode.PROVIDER_RATE_LIMITED),
        (Refuse(503), ErrorCode.PROVIDER_UNAVAILABLE),
        (Page("<html>", "text/html"), ErrorCode.PROVIDER_BAD_RESPONSE),
    ],
    ids=["401", "429", "503", "a page"],
)
async def test_failures_have_their_code(
    reranker: HttpReranker, server: RerankServer, fault: Refuse | Page, code: ErrorCode
) -> None:
    server.fault = fault
    with pytest.raises(ProviderError) as raised:
        await reranker.rerank("What?", TEXTS, tenant_id=TENANT)
    assert raised.value.code is code


def test_a_server_needs_a_model() -> None:
    with pytest.raises(ConfigurationError, match="RERANK_MODEL"):
        Providers(Settings(rerank_base_url="http://127.0.0.1:1/v1"))
    with pytest.raises(ConfigurationError, match="RERANK_BASE_URL"):
        Providers(Settings(rerank_base_url="ftp://127.0.0.1", rerank_model="judge-1"))
