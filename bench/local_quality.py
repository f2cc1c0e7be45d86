"""Quality of the local models on bench/local_quality: retrieval, answers, refusals. Run from the repository's root:

    python bench/local_quality.py              figures for the tuning part and the held-back part of each set
    python bench/local_quality.py --errors     … and every wrong, missed or invented answer
    python bench/local_quality.py --fit        the answerer's weights fitted to the tuning part, with cross-validation
    python bench/local_quality.py --precision float32
    python bench/local_quality.py --fused      with a lexical ranking fused in, repeats last and neighbours joined, as
                                               the product retrieves
    python bench/local_quality.py --alone      follow-up questions as if they came first

About two minutes on one core. The peer in the same run is the plainest answerer: the sentence nearest to the question.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "src"))

from local_quality.corpus import SETS, Chunk, Question, chunks, contains, questions
from local_quality.fitting import fit

from answers.sources import Source, joined
from answers.variety import repeats_last
from datastores.passages import Candidate
from datastores.records import PassageRecord
from providers.base import ChatMessage, ChatRequest, ContextPassage, TextDelta
from providers.extractive import REFUSAL, ExtractiveChat
from providers.follow_ups import standalone
from providers.minilm import MiniLmEmbeddings
from providers.minilm_model import Precision
from providers.sentence_ranking import FEATURES, ScoredSentence, score_sentences
from providers.words import content_words, stem

_SIGNS = (1, 1, 1, 1, 1, -1, 1, 1, -1)
TOP = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one question got."""

    question: Question
    found: bool
    nearest: float
    right_distance: float | None
    answer: str
    scored: list[ScoredSentence]
    right: list[bool]
    seconds: float
    processor_seconds: float

    @property
    def refused(self) -> bool:
        return self.answer == REFUSAL

    @property
    def correct(self) -> bool:
        return contains(self.answer, self.question.answers)

    @property
    def best(self) -> float:
        return max((item.score for item in self.scored), default=-np.inf)


@dataclass(frozen=True, slots=True)
class Index:
    """The chunks, their unit vectors of shape (chunks, 384) and their stems."""

    chunks: list[Chunk]
    vectors: np.ndarray
    stems: list[set[str]]

    def nearest(self, distances: np.ndarray, question: str, limit: float, *, fused: bool) -> list[int]:
        """The best `TOP` chunks: exact cosine, or that and word overlap by reciprocal rank fusion (k = 60)."""
        by_distance = [int(i) for i in np.argsort(distances)]
        if not fused:
            return [i for i in by_distance[:TOP] if distances[i] <= limit]
        asked = {stem(word) for word in content_words(question)}
        rarity = {word: np.log(len(self.stems) / (1 + sum(word in stems for stems in self.stems))) for word in asked}
        overlap = [sum(rarity[word] for word in asked & stems) / (1 + np.log(len(stems))) for stems in self.stems]
        by_words = [int(i) for i in np.argsort([-value for value in overlap]) if overlap[int(i)] > 0]
        scores: dict[int, float] = {}
        for ranking in (by_distance[:20], by_words[:20]):
            for rank, index in enumerate(ranking):
                scores[index] = scores.get(index, 0.0) + 1 / (60 + rank)
        best = [i for i in sorted(scores, key=lambda i: -scores[i]) if distances[i] <= limit]
        candidates = [Candidate(self.passage(i, distances[i], scores[i]), self.vectors[i]) for i in best]
        return [candidate.passage.chunk_id.int for candidate in repeats_last(candidates, limit)[:TOP]]

    def passage(self, number: int, distance: float, score: float = 0.0) -> PassageRecord:
        """As retrieval gives it; its id is its number among the chunks."""
        chunk = self.chunks[number]
        document = uuid5(NAMESPACE_URL, chunk.document)
        place = (chunk.ordinal, chunk.start)
        return PassageRecord(UUID(int=number), document, chunk.document, None, chunk.text, *place, distance, score)


async def ask(
    chat: ExtractiveChat, embeddings: MiniLmEmbeddings, index: Index, question: Question, *, fused: bool, alone: bool
) -> Outcome:
    """Retrieval under the provider's distance, then the answerer."""
    every = index.chunks
    earlier = [question.previous] if question.previous and not alone else []
    query = standalone(question.text, earlier)
    distances = 1.0 - index.vectors @ await embeddings.embed_query(query)
    order = index.nearest(distances, query, embeddings.max_distance, fused=fused)

    def holds(number: int) -> bool:
        return every[number].document == question.document and contains(every[number].text, question.answers)

    retrieved = [index.passage(i, distances[i]) for i in order]
    sources = joined(retrieved) if fused else [Source((one,), one.text) for one in retrieved]
    passages = tuple(
        ContextPassage(number, source.document_name, None, source.text) for number, source in enumerate(sources, 1)
    )
    started, worked = time.perf_counter(), time.process_time()
    messages = tuple(ChatMessage("user", text) for text in (*earlier, question.text))
    request = ChatRequest(chat.default_model, 0.0, "", messages, question.text, passages)
    answer = "".join([event.text async for event in chat.stream(request) if isinstance(event, TextDelta)])
    seconds, processor_seconds = time.perf_counter() - started, time.process_time() - worked
    scored = await score_sentences(embeddings, query, passages)
    held = [any(holds(chunk.chunk_id.int) for chunk in source.chunks) for source in sources]
    right = [held[s.candidate.position] and contains(s.candidate.text, question.answers) for s in scored]
    holding = [float(distances[i]) for i in range(len(every)) if holds(i)]
    return Outcome(
        question,
        any(holds(i) for i in order),
        float(distances.min()),
        min(holding) if question.answers and holding else None,
        answer,
        scored,
        right,
        seconds,
        processor_seconds,
    )


def report(name: str, outcomes: Sequence[Outcome]) -> None:
    answerable = [o for o in outcomes if o.question.answers]
    unanswerable = [o for o in outcomes if not o.question.answers]
    found = [o for o in answerable if o.found]
    follow_ups = [o for o in answerable if o.question.previous]
    answered = [o for o in answerable if not o.refused]
    # Both with a threshold of this very part, so that the peer and ours are judged alike.
    plain_limit = np.quantile([_nearest(o) for o in answerable], 0.05)
    own_limit = np.quantile([o.best for o in answerable], 0.05)
    plain = [max(zip(o.scored, o.right, strict=True), key=lambda pair: pair[0].evidence[0])[1] for o in found]
    ours = [max(zip(o.scored, o.right, strict=True), key=lambda pair: pair[0].score)[1] for o in found]
    print(f"\n{name}: {len(answerable)} answerable, {len(unanswerable)} unanswerable")
    for label, part, whole in (
        (f"hit@{TOP}: a retrieved chunk holds the answer", found, answerable),
        ("answerable answered rightly", [o for o in answered if o.correct], answerable),
        ("answerable answered wrongly", [o for o in answered if not o.correct], answerable),
        ("answerable refused", [o for o in answerable if o.refused], answerable),
        ("answerable refused though the chunk was retrieved", [o for o in found if o.refused], found),
        ("follow-ups answered rightly", [o for o in follow_ups if o.correct], follow_ups),
        ("unanswerable refused", [o for o in unanswerable if o.refused], unanswerable),
        ("  if 5% of answerable were lost: ours", [o for o in unanswerable if o.best < own_limit], unanswerable),
        ("  … peer: nearest sentence", [o for o in unanswerable if _nearest(o) < plain_limit], unanswerable),
        ("best sentence right, where retrieved", [right for right in ours if right], ours),
        ("  peer: nearest sentence", [right for right in plain if right], plain),
    ):
        print(f"  {label:50} {_share(len(part), len(whole))}")
    sentences = np.mean([o.answer.count("[") for o in answered])
    seconds = np.mean([o.seconds for o in outcomes])
    processor = np.mean([o.processor_seconds for o in outcomes])
    print(f"  {sentences:.2f} sentences and {1000 * seconds:.0f} ms an answer, {1000 * processor:.0f} ms of processor")


def curve(outcomes: Sequence[Outcome]) -> None:
    """What other thresholds would have given, for choosing `_ANSWERS_FROM`."""
    print("\n  score from   answerable refused   unanswerable refused")
    for threshold in np.arange(-2.0, 2.01, 0.25):
        a = [o.best < threshold for o in outcomes if o.question.answers]
        u = [o.best < threshold for o in outcomes if not o.question.answers]
        print(f"  {threshold:10.2f}   {np.mean(a):18.1%}   {np.mean(u):20.1%}")


def distances(outcomes: Sequence[Outcome]) -> None:
    """How far a question is from the chunk that answers it, for choosing `max_distance`."""
    right = np.array([o.right_distance for o in outcomes if o.right_distance is not None])
    nearest = np.array([o.nearest for o in outcomes if not o.question.answers])
    percentiles = [5, 25, 50, 75, 90, 95, 99, 100]
    print("\ncosine distance, percentiles      " + "".join(f"{p:>7}" for p in percentiles))
    print("  question to its answering chunk " + "".join(f"{v:7.2f}" for v in np.percentile(right, percentiles)))
    print("  unanswerable to nearest chunk   " + "".join(f"{v:7.2f}" for v in np.percentile(nearest, percentiles)))
    for limit in (0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95):
        reached, silent = np.mean(right <= limit), np.mean(nearest > limit)
        print(f"  at most {limit}: {reached:.1%} of answering chunks; {silent:.1%} of unanswerable get no passage")


def fitted(outcomes: Sequence[Outcome]) -> None:
    def examples(part: Sequence[Outcome]) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(np.array([s.evidence for s in o.scored]), np.array(o.right)) for o in part if o.scored]

    tuning = [o for o in outcomes if not o.question.held_back]
    weights = fit(examples(tuning), _SIGNS)
    print(
        "\nfitted to the tuning part: "
        + ", ".join(f"{n} {w:.2f}" for n, w in zip((*FEATURES, "bias"), weights, strict=True))
    )
    first: list[bool] = []
    lost: list[float] = []
    kept_out: list[float] = []
    for document in sorted({o.question.document for o in tuning}):
        weights = fit(examples([o for o in tuning if o.question.document != document]), _SIGNS)
        for o in (o for o in tuning if o.question.document == document and o.scored):
            scores = np.array([s.evidence for s in o.scored]) @ weights[:-1] + weights[-1]
            if o.question.answers:
                lost.append(scores.max())
                if o.found:
                    first.append(o.right[int(scores.argmax())])
            else:
                kept_out.append(scores.max())
    limit = np.quantile(lost, 0.05)
    print(
        f"leaving one document out: best sentence right {np.mean(first):.1%}; "
        f"at 5% of answerable refused, {np.mean(np.array(kept_out) < limit):.1%} of unanswerable are"
    )


def _nearest(outcome: Outcome) -> float:
    return max((float(item.evidence[0]) for item in outcome.scored), default=-1.0)


def _share(part: int, whole: int) -> str:
    return f"{part / whole:6.1%} ({part} of {whole})" if whole else "none"


async def built(embeddings: MiniLmEmbeddings, every: list[Chunk]) -> Index:
    texts = [chunk.text for chunk in every]
    size = embeddings.batch_size
    vectors = np.concatenate(
        [await embeddings.embed_documents(texts[i : i + size]) for i in range(0, len(texts), size)]
    )
    return Index(every, vectors, [{stem(word) for word in content_words(f"{c.document} {c.text}")} for c in every])


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--precision", choices=("int8", "float32"), default="int8")
    parser.add_argument("--errors", action="store_true")
    parser.add_argument("--fused", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--alone", action="store_true")
    arguments = parser.parse_args()
    precision: Precision = arguments.precision
    embeddings = MiniLmEmbeddings(Path(tempfile.gettempdir()) / "colloquy-bench-models", precision=precision)
    chat = ExtractiveChat(embeddings)
    retrieval = "cosine and words fused" if arguments.fused else "exact cosine"
    outcomes: list[Outcome] = []
    for name in SETS:
        every = chunks(name)
        documents = len({chunk.document for chunk in every})
        print(
            f"\n{name} set: {precision}; {retrieval}; {len(every)} chunks of {documents} documents, searched together"
        )
        index = await built(embeddings, every)
        asked = [
            await ask(chat, embeddings, index, question, fused=arguments.fused, alone=arguments.alone)
            for question in questions(name)
        ]
        for part, held_back in (("tuning part", False), ("held-back part", True)):
            report(f"{name} set, {part}", [o for o in asked if o.question.held_back is held_back])
        outcomes += asked
    await embeddings.aclose()
    tuning = [o for o in outcomes if not o.question.held_back]
    curve(tuning)
    distances(tuning)
    if arguments.fit:
        fitted(outcomes)
    if arguments.errors:
        for o in outcomes:
            wrong = o.refused or not o.correct if o.question.answers else not o.refused
            if wrong:
                part = "held back" if o.question.held_back else "tuning"
                wanted = " / ".join(o.question.answers) or "no answer"
                print(f"\n[{part}] {o.question.text}  (wanted: {wanted}; retrieved: {o.found}; {o.best:.2f})")
                print(f"    {o.answer}")


if __name__ == "__main__":
    asyncio.run(main())
