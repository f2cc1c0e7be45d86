"""The local reranker: a passage counts by its best sentence, and what is remembered is an organisation's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from core.errors import ErrorCode, ProviderError
from core.settings import Settings
from core.tasks import end_tasks
from providers.minilm import MiniLmEmbeddings, Vectors
from providers.registry import LOCAL_MODEL, Providers
from providers.rerank import HttpReranker
from providers.sentence_rerank import _AT_ONCE, _KEPT, SentenceReranker

TENANT = uuid4()
QUESTION = "When must the boat be brought back?"
ANSWERS = (
    "The galley has two burners and a small oven. Bed linen is on board. Return the boat to its berth by five in the "
    "afternoon. The fridge runs on twelve volts."
)
ALIKE = "A boat is a boat: boats are what this firm rents, and every boat of the firm is a good boat."


class Counting(MiniLmEmbeddings):
    """The model, and what it has been given to read."""

    def __init__(self, cache_dir: Path) -> None:
        super().__init__(cache_dir)
        self.read: list[list[str]] = []

    async def embed_sentences(self, texts: Sequence[str]) -> Vectors:
        self.read.append(list(texts))
        return await super().embed_sentences(texts)


@pytest.fixture
async def model(models_folder: Path) -> AsyncIterator[Counting]:
    made = Counting(models_folder)
    await made.prepare()
    yield made
    await made.aclose()


@pytest.fixture
def reranker(model: Counting) -> SentenceReranker:
    return SentenceReranker(model)


async def test_a_passage_is_as_near_as_its_best_sentence(reranker: SentenceReranker) -> None:
    answers, alike, other = await reranker.rerank(QUESTION, [ANSWERS, ALIKE, "Tea is at four."], tenant_id=TENANT)
    assert answers > alike > other


async def test_a_number_that_is_asked_for_is_the_same_or_is_not(reranker: SentenceReranker) -> None:
    texts = [f"Error {number} means that the valve of the boiler is stuck." for number in (4710, 4711, 4712)]
    scores = await reranker.rerank("What is error 4711?", texts, tenant_id=TENANT)
    assert max(scores) == scores[1]


@pytest.mark.parametrize("texts", [[], [""], ["# Only a heading"], ["| a | b |\n| --- | --- |"], ["\ud800"]], ids=ascii)
async def test_passages_without_a_sentence_have_scores_too(reranker: SentenceReranker, texts: list[str]) -> None:
    scores = await reranker.rerank(QUESTION, texts, tenant_id=TENANT)
    assert len(scores) == len(texts)
    assert all(-1 <= score <= 1.2 for score in scores)


async def test_a_sentence_is_read_once_for_its_organisation_and_for_nobody_else(
    reranker: SentenceReranker, model: Counting
) -> None:
    first = await reranker.rerank(QUESTION, [ANSWERS, ANSWERS], tenant_id=TENANT)
    again = await reranker.rerank(QUESTION, [ANSWERS, ANSWERS], tenant_id=TENANT)
    assert first == again
    assert [len(texts) for texts in model.read] == [4]
    await reranker.rerank(QUESTION, [ANSWERS], tenant_id=uuid4())
    assert [len(texts) for texts in model.read] == [4, 4]


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(reranker: SentenceReranker, model: Counting) -> None:
    await reranker.rerank(QUESTION, ["The first."], tenant_id=TENANT)
    model.read.clear()
    for number in range(0, _KEPT, 1_024):
        await reranker.rerank(QUESTION, [f"Number {each}." for each in range(number, number + 1_024)], tenant_id=TENANT)
    assert len(reranker._kept) == _KEPT
    model.read.clear()
    await reranker.rerank(QUESTION, ["The first.", f"Number {_KEPT - 1}."], tenant_id=TENANT)
    assert model.read == [["The first."]]


async def test_who_comes_while_too_many_are_judged_is_sent_away_and_later_served(reranker: SentenceReranker) -> None:
    long = [[f"Sentence {each} of passage {number}." for each in range(40)] for number in range(_AT_ONCE)]
    judged = [asyncio.create_task(reranker.rerank(QUESTION, texts, tenant_id=TENANT)) for texts in long]
    await asyncio.sleep(0)  # each comes to where it waits for the model
    with pytest.raises(ProviderError) as refused:
        await reranker.rerank(QUESTION, [ANSWERS], tenant_id=TENANT)
    assert refused.value.code is ErrorCode.PROVIDER_RATE_LIMITED
    # Who gives up leaves no place taken.
    await end_tasks(judged)
    assert len(await reranker.rerank(QUESTION, [ANSWERS], tenant_id=TENANT)) == 1


async def test_a_model_that_is_closed_is_a_provider_s_failure(reranker: SentenceReranker, model: Counting) -> None:
    await model.aclose()
    with pytest.raises(ProviderError):
        await reranker.rerank(QUESTION, [ANSWERS], tenant_id=UUID(int=1))


async def test_it_judges_in_its_own_space_where_nothing_else_is_set_up(tmp_path: Path) -> None:
    own = Providers(Settings(data_dir=tmp_path))
    assert isinstance(own.reranker(LOCAL_MODEL), SentenceReranker)
    assert own.reranker(LOCAL_MODEL) is own.reranker(LOCAL_MODEL)
    assert own.reranker("text-embedding-3-small@1536") is None
    assert Providers(Settings(data_dir=tmp_path, local_rerank=False)).reranker(LOCAL_MODEL) is None
    server = Providers(Settings(rerank_base_url="http://127.0.0.1:1/v1", rerank_model="judge"))
    assert isinstance(server.reranker(LOCAL_MODEL), HttpReranker)
    for providers in (own, server):
        await providers.aclose()
