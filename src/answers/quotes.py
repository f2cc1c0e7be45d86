"""The quote behind a marker: the sentences of a chunk that best support the claim, letter for letter."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from providers.sentences import split_sentences

MAX_QUOTE_CHARS = 400
CLAIM_SENTENCES = 3
"""A marker stands behind at most so many sentences, and a quote has at most as many."""
_WORD = re.compile(r"\w+")
_MARKER = re.compile(r"\[\d+\]")
_SENTENCE_END = re.compile(r"(?<=[.!?。！？])\s+|\n+")


def claim_before(text: str) -> str:
    """What a marker at the end of `text` stands behind: the last sentences since the marker before it.

    Markers that follow each other directly share one claim.
    """
    pieces = [piece for piece in _MARKER.split(text[-1_500:]) if piece.strip(" .,;")]
    sentences = [piece for piece in _SENTENCE_END.split(pieces[-1].strip()) if piece] if pieces else []
    return " ".join(sentences[-CLAIM_SENTENCES:])


def best_quote(passages: Sequence[str], claim: str) -> tuple[int, str]:
    """An exact substring of one of the passages, and which one: the neighbouring sentences that share most of the
    claim's words. Empty only where the passage is.

    Similarity is the cosine of the two word sets; among equals the earlier passage, and the shorter and earlier quote,
    wins. Raises ValueError without a passage.
    """
    wanted = _words(claim)
    found = [_best_of(passage, wanted) for passage in passages]
    place = max(range(len(found)), key=lambda at: (found[at][0], -at))
    return place, _shortened(found[place][1])


def _best_of(passage: str, wanted: set[str]) -> tuple[float, str]:
    sentences = split_sentences(passage)
    best, best_score = "", 0.0
    for length in range(1, CLAIM_SENTENCES + 1):
        for first, last in zip(sentences, sentences[length - 1 :], strict=False):
            quote = passage[first.start : last.end].strip()
            words = _words(quote)
            shared = len(wanted & words)
            score = shared / math.sqrt(len(wanted) * len(words)) if shared else 0.0
            if score > best_score + 1e-9 and (length == 1 or len(quote) <= MAX_QUOTE_CHARS):
                best, best_score = quote, score
    first_sentence = next((passage[s.start : s.end].strip() for s in sentences if passage[s.start : s.end].strip()), "")
    return best_score, best or first_sentence or passage.strip() or passage


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _shortened(quote: str) -> str:
    """At most `MAX_QUOTE_CHARS`, cut at a word: still a prefix, so still exact."""
    if len(quote) <= MAX_QUOTE_CHARS:
        return quote
    cut = quote.rfind(" ", MAX_QUOTE_CHARS // 2, MAX_QUOTE_CHARS)
    return quote[: cut if cut > 0 else MAX_QUOTE_CHARS].rstrip()
