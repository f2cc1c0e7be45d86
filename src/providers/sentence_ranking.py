"""How surely each sentence of the passages answers a question: evidence, weighed into one score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from providers.base import ContextPassage
from providers.minilm import MiniLmEmbeddings
from providers.question_cues import Asked, asked_for, offers
from providers.sentences import Sentence, split_sentences
from providers.words import content_words, stem

# A longer question is mostly a story around the question, which would drown it; and the work stays bounded.
_QUESTION_CHARS = 300
_QUESTION_WORDS = 40
# Passages come in fives of 500 characters; a caller with far more must not occupy the model for seconds.
_MOST_SENTENCES = 120

FEATURES = ("similarity", "similarity_in_context", "coverage", "cue_met", "cue_missed")
# Fitted on the tuning part of bench/local_quality by `python bench/local_quality.py --fit`; a score is a logit.
_WEIGHTS = np.array([8.7, 3.5, 3.0, 0.6, -2.5])
_BIAS = -8.5
_MOST_REPLIES = 3
"""So many sentences after a passage's own question are read as its answer."""
# By judgement: the fit sees too few torn sentences, and a reader wants whole ones.
_TORN_PENALTY = 1.0

_LEANS_BACK = re.compile(
    r"(?:it|its|he|she|his|her|they|their|them|this|these|those|such|both|the (?:former|latter|same))\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of `passages[position]` that could be quoted; `text` has its white space normalised."""

    position: int
    sentence: Sentence
    text: str
    document_name: str
    leans_on: str
    """The sentence before, when this one begins with a pronoun; else ""."""
    replies_to: str = ""
    """The question that the passage itself asks just before, as lists of frequent questions do; else ""."""

    @property
    def in_context(self) -> str:
        """The sentence as a reader of the page understands it: under its heading, its pronoun resolved by eye."""
        told = " ".join(filter(None, (self.replies_to, self.leans_on, self.text)))
        return f"{self.sentence.heading}: {told}" if self.sentence.heading else told


@dataclass(frozen=True, slots=True)
class ScoredSentence:
    """A candidate, its evidence in the order of `FEATURES`, its score and its unit vector of shape (384,)."""

    candidate: Candidate
    evidence: npt.NDArray[np.float64]
    score: float
    vector: npt.NDArray[np.float32]


def candidates(passages: Sequence[ContextPassage]) -> list[Candidate]:
    """The sentences that may be quoted, in the passages' order: no headings, no questions, none twice.

    A question in a passage answers nothing, but tells what the sentences after it are about.
    """
    found: list[Candidate] = []
    for position, passage in enumerate(passages):
        before: Sentence | None = None
        asked, replies = "", 0
        for sentence in split_sentences(passage.text):
            if sentence.is_heading:
                asked = ""
                continue
            text = normalised(passage.text[sentence.start : sentence.end])
            if text.endswith("?"):
                asked, replies, before = text, 0, None
                continue
            replies += 1
            reply_to = asked if replies <= _MOST_REPLIES else ""
            leans = before is not None and before.heading == sentence.heading and _LEANS_BACK.match(text)
            lead = normalised(passage.text[before.start : before.end]) if before and leans else ""
            found.append(Candidate(position, sentence, text, passage.document_name, lead, reply_to))
            before = sentence
    return _without_repeats(found)[:_MOST_SENTENCES]


async def score_sentences(
    embeddings: MiniLmEmbeddings, question: str, passages: Sequence[ContextPassage]
) -> list[ScoredSentence]:
    """Every quotable sentence with its score, in the passages' order. Raises `ProviderError`."""
    found = candidates(passages)
    question = _heart(question)
    if not found or not question:
        return []
    words = list(dict.fromkeys(content_words(question)))[:_QUESTION_WORDS]
    rarities = await embeddings.word_rarities(words)
    # A sentence without heading or lead reads the same in context: each text is embedded once.
    texts = list(dict.fromkeys([question, *(c.text for c in found), *(c.in_context for c in found)]))
    rows = dict(zip(texts, await embeddings.embed_sentences(texts), strict=True))
    asked = asked_for(question)
    scored: list[ScoredSentence] = []
    for candidate in found:
        met = offers(candidate.text, asked, question)
        evidence = np.array(
            [
                float(rows[candidate.text] @ rows[question]),
                float(rows[candidate.in_context] @ rows[question]),
                _coverage(words, rarities, f"{candidate.in_context} {candidate.document_name}"),
                float(met and asked is not Asked.ANYTHING),
                float(not met),
            ]
        )
        score = float(evidence @ _WEIGHTS) + _BIAS - (_TORN_PENALTY if candidate.sentence.is_torn else 0.0)
        scored.append(ScoredSentence(candidate, evidence, score, rows[candidate.text]))
    return scored


def normalised(text: str) -> str:
    """Each run of white space as one space, none at the ends: how a quotation is written in an answer."""
    return " ".join(text.split())


def _heart(question: str) -> str:
    """The question itself: of a long message the sentences with a question mark, or else its beginning."""
    whole = normalised(question)
    if len(whole) <= _QUESTION_CHARS:
        return whole
    sentences = (whole[sentence.start : sentence.end] for sentence in split_sentences(whole))
    asking = " ".join(dict.fromkeys(sentence for sentence in sentences if sentence.endswith(("?", "？", "؟"))))
    return (asking or whole)[:_QUESTION_CHARS]


def _coverage(words: Sequence[str], rarities: Sequence[float], text: str) -> float:
    """The share of the question's content that the text repeats, rare words counting more: 0 to 1."""
    there = {stem(word) for word in content_words(text)}
    total = sum(rarities)
    return sum(rarity for word, rarity in zip(words, rarities, strict=True) if stem(word) in there) / (total or 1.0)


def _without_repeats(found: Sequence[Candidate]) -> list[Candidate]:
    """Without sentences that another of the same document holds: chunks overlap, and tear what others have whole."""
    kept: list[Candidate] = []
    # The longest first, so that a torn copy meets the whole one; a whole one before a torn one of equal length.
    for candidate in sorted(found, key=lambda c: (-len(c.text), c.sentence.is_torn)):
        folded = candidate.text.casefold()
        if not any(k.document_name == candidate.document_name and folded in k.text.casefold() for k in kept):
            kept.append(candidate)
    return sorted(kept, key=lambda c: (c.position, c.sentence.start))
