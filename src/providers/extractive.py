"""The local answerer: no model writes; the sentences that answer the question are found and quoted."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from core.model_settings import LOCAL_CHAT_MODEL
from providers.base import ChatEvent, ChatFinished, ChatProvider, ChatRequest, ContextPassage, StopReason, TextDelta
from providers.follow_ups import standalone
from providers.minilm import MiniLmEmbeddings
from providers.sentence_ranking import ScoredSentence, normalised, score_sentences

REFUSAL = "The documents do not answer this."

# The three numbers are measured by bench/local_quality.py; docs/decisions/local-models.md has the curve.
_ANSWERS_FROM = 0.15
"""The score (a logit) under which the best sentence does not count as an answer."""
_ALSO_WITHIN = 2.5
"""A further sentence is quoted when its score is at most so much below the best one's …"""
_ALSO_FROM = 0.0
"""… and at least this: a doubtful answer stays one sentence long."""
_MOST_QUOTED = 3

# Questions about the documents as such, which no single sentence answers.
_SUBJECT = (
    r"(?:(?:of|the|this|that|these|those|my|our|is|are|it|all|uploaded|documents?|files?|texts?|pdfs?|reports?)\W+)*"
)
_OVERVIEW = re.compile(
    r"\W*(?:(?:please|can you|could you|give me|write|make|a|an|the|short|brief|quick)\s+)*"
    rf"(?:(?:summar(?:y|i[sz]e)|overview|main points|key points)\W+{_SUBJECT}"
    rf"|(?:what(?:'s| is| are| does| do))\W+{_SUBJECT}(?:about|say|says|contain|cover)\W+)(?:please\W+)?",
    re.IGNORECASE,
)
_OVERVIEW_CHARS = 100
# A marker in a quotation would pass for one of ours.
_MARKER = re.compile(r"\[(\d+)\]")
_WORD = re.compile(r"\s*\S+")


class ExtractiveChat(ChatProvider):
    """Quotes one to three sentences with their markers ` [n]`, or says `REFUSAL`. Needs no key and no network.

    Sentences that stand behind each other in their passage share one marker.

    Questions and documents are best in English: elsewhere it rests on shared words alone.
    """

    name = "local"
    default_model = LOCAL_CHAT_MODEL

    def __init__(self, embeddings: MiniLmEmbeddings, *, token_interval_ms: float = 0.0) -> None:
        """`embeddings` stays the caller's to close. `token_interval_ms` is the pause between two words."""
        self._embeddings = embeddings
        self._interval = token_interval_ms / 1000

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Yield the answer word by word, each with the space before it, then `ChatFinished`.

        Tokens are word pieces: those of the question and the passages in, those of the answer out.
        Raises `ProviderError`.
        """
        # The last message is this question with its context.
        earlier = [message.text for message in request.messages[:-1] if message.role == "user"]
        scored = await score_sentences(self._embeddings, standalone(request.question, earlier), request.passages)
        answer = _compose(_choose(request.question, scored), request.passages)
        read = "\n".join((request.question, *(passage.text for passage in request.passages)))
        tokens_in = await self._embeddings.count_tokens(read)
        tokens_out = await self._embeddings.count_tokens(answer)
        for index, word in enumerate(_WORD.findall(answer)):
            if index:
                await asyncio.sleep(self._interval)
            yield TextDelta(word)
        yield ChatFinished(StopReason.COMPLETE, tokens_in, tokens_out)

    async def has_model(self, model: str) -> bool:
        """There is one."""
        return model == self.default_model

    async def aclose(self) -> None:
        """Nothing is held: the embeddings belong to whoever made them."""


def _choose(question: str, scored: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """The sentences to quote, best passage first and in reading order within it; empty when none answers."""
    if not scored:
        return []
    # The full stop lets every word of the pattern be followed by something that is not a word.
    if len(question) <= _OVERVIEW_CHARS and _OVERVIEW.fullmatch(normalised(question) + "."):
        return _reading_order(_most_central(scored))
    ranked = _each_said_once(sorted(scored, key=lambda item: -item.score))
    best = ranked[0]
    if best.score < _ANSWERS_FROM:
        return []
    floor = max(best.score - _ALSO_WITHIN, _ALSO_FROM)
    chosen = [best, *(item for item in ranked[1:_MOST_QUOTED] if item.score >= floor)]
    # "It cost 18.5 million." says little alone: quote what `it` is, even at the expense of the weakest other.
    for item in list(chosen):
        lead = next((s for s in scored if s.candidate.text == item.candidate.leans_on and _same_page(s, item)), None)
        if lead is not None and lead not in chosen:
            del chosen[_MOST_QUOTED - 1 :]
            if item in chosen:
                chosen.append(lead)
    return _reading_order(chosen)


def _each_said_once(ranked: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """Without sentences that a better one says in the same words: documents repeat each other."""
    best: dict[str, ScoredSentence] = {}
    for item in ranked:
        best.setdefault(" ".join(item.candidate.text.casefold().split()), item)
    return list(best.values())


def _same_page(one: ScoredSentence, other: ScoredSentence) -> bool:
    return one.candidate.position == other.candidate.position


def _most_central(scored: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    """The sentences nearest to what all of them are about."""
    whole = [item for item in scored if not item.candidate.sentence.is_torn] or list(scored)
    centre = np.mean([item.vector for item in whole], axis=0)
    return sorted(whole, key=lambda item: -float(item.vector @ centre))[:_MOST_QUOTED]


def _reading_order(chosen: Sequence[ScoredSentence]) -> list[ScoredSentence]:
    best: dict[int, float] = {}
    for item in chosen:
        position = item.candidate.position
        best[position] = max(best.get(position, item.score), item.score)
    return sorted(
        chosen,
        key=lambda item: (-best[item.candidate.position], item.candidate.position, item.candidate.sentence.start),
    )


def _compose(chosen: Sequence[ScoredSentence], passages: Sequence[ContextPassage]) -> str:
    if not chosen:
        return REFUSAL
    parts: list[str] = []
    for index, item in enumerate(chosen):
        parts.append(_MARKER.sub(r"(\1)", item.candidate.text))
        following = chosen[index + 1] if index + 1 < len(chosen) else None
        if following is None or not _goes_on(item, following, passages):
            parts.append(f"[{passages[item.candidate.position].number}]")
    return " ".join(parts)


def _goes_on(item: ScoredSentence, following: ScoredSentence, passages: Sequence[ContextPassage]) -> bool:
    """Whether the next sentence stands right behind this one in the passage: then one marker serves both."""
    if not _same_page(item, following):
        return False
    between = passages[item.candidate.position].text[item.candidate.sentence.end : following.candidate.sentence.start]
    return not between.strip() and item.candidate.sentence.end <= following.candidate.sentence.start
