"""How surely each sentence of the passages answers a question: evidence, weighed into one score."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt

from providers.base import ContextPassage
from providers.minilm import MiniLmEmbeddings, Vectors
from providers.question_cues import Asked, asked_for, counted_noun, counts_in, offers
from providers.sentences import Sentence, split_sentences
from providers.words import content_words, names, stem

# A longer question is mostly a story around the question, which would drown it; and the work stays bounded.
_QUESTION_CHARS = 300
# Passages come in fives of 500 characters; a caller with far more must not occupy the model for seconds.
_MOST_SENTENCES = 120

FEATURES = (
    "similarity",
    "similarity_in_context",
    "alignment",
    "lead",
    "cue_met",
    "cue_missed",
    "counted",
    "passage_rank",
    "unknown_name",
)
# Fitted on the tuning parts of bench/local_quality by `python bench/local_quality.py --fit`; a score is a logit.
_WEIGHTS = np.array([1.93, 2.75, 2.25, 4.73, 0.80, -1.32, 1.38, 1.06, -1.42])
_BIAS = -6.09
_MOST_LEAD = 0.3
"""A sentence that is further ahead of all others than this is simply alone."""
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
    asked = asked_for(question)
    noun = counted_noun(question) if asked is Asked.COUNT else ""
    counts = [counts_in(c.text) if noun else [] for c in found]
    # A sentence without heading or lead reads the same in context: each text is read once.
    texts = list(
        dict.fromkeys(
            [*(c.text for c in found), *(c.in_context for c in found), *chain([noun] if noun else [], *counts)]
        )
    )
    compared = await embeddings.compare(question, texts)
    rows = {text: index for index, text in enumerate(texts)}
    own = np.array([rows[c.text] for c in found])
    context = np.array([rows[c.in_context] for c in found])
    similarity = compared.texts[own] @ compared.question
    alignment = compared.alignment[context]
    unknown = _names_something_unknown(question, passages)
    evidence = np.column_stack(
        [
            similarity,
            compared.texts[context] @ compared.question,
            alignment,
            _leads(similarity + alignment),
            [asked is not Asked.ANYTHING and offers(c.text, asked, question) for c in found],
            [not offers(c.text, asked, question) for c in found],
            [_counted(noun, phrases, compared.texts, rows) for phrases in counts],
            [1.0 / (1 + c.position) for c in found],
            [unknown] * len(found),
        ]
    ).astype(np.float64)
    torn = np.array([_TORN_PENALTY if c.sentence.is_torn else 0.0 for c in found])
    scores = evidence @ _WEIGHTS + _BIAS - torn
    return [
        ScoredSentence(candidate, evidence[index], float(scores[index]), compared.texts[own[index]])
        for index, candidate in enumerate(found)
    ]


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


def _leads(values: Vectors) -> Vectors:
    """How far each is above the best of the others, negative for all but one; a question that nothing answers has
    many sentences that are equally near."""
    best = int(values.argmax())
    others = np.delete(values, best)
    leads: Vectors = values - values[best]
    leads[best] = values[best] - others.max() if len(others) else _MOST_LEAD
    leads[leads > _MOST_LEAD] = _MOST_LEAD
    return leads


def _counted(noun: str, phrases: Sequence[str], vectors: Vectors, rows: Mapping[str, int]) -> float:
    """Whether a number of the sentence counts what is asked for, 0 to 1; 1 where nothing is to be counted."""
    if not noun:
        return 1.0
    if any(stem(word) == stem(noun) for phrase in phrases for word in content_words(phrase)):
        return 1.0
    near = (float(vectors[rows[phrase]] @ vectors[rows[noun]]) for phrase in phrases)
    return max(0.0, *near) if phrases else 0.0


def _names_something_unknown(question: str, passages: Sequence[ContextPassage]) -> bool:
    """Whether a name or number of the question occurs in no passage and no document's name."""
    read = " ".join(f"{passage.text} {passage.document_name}" for passage in passages).casefold()
    return any(name not in read for name in names(question))


def _without_repeats(found: Sequence[Candidate]) -> list[Candidate]:
    """Without sentences that another of the same document holds: chunks overlap, and tear what others have whole."""
    kept: list[Candidate] = []
    # The longest first, so that a torn copy meets the whole one; a whole one before a torn one of equal length.
    for candidate in sorted(found, key=lambda c: (-len(c.text), c.sentence.is_torn)):
        folded = candidate.text.casefold()
        if not any(k.document_name == candidate.document_name and folded in k.text.casefold() for k in kept):
            kept.append(candidate)
    return sorted(kept, key=lambda c: (c.position, c.sentence.start))
