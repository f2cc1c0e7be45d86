"""Text as PostgreSQL's full-text search needs it: one form for all spellings, words where none are marked.

Chunks and questions go through the same function, so a word finds itself however it was typed. Only lexemes are made
of what comes out; quotations are cut from the chunk's own text.
"""

from __future__ import annotations

import re
import unicodedata

# Han, Hiragana, Katakana (and its phonetic extensions), Thai, Lao, Khmer, Myanmar: scripts without word spaces.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_UNSPACED}]+")
# Characters that are not seen and not a letter of the word they stand in: soft hyphen, joiners, marks of direction,
# word joiner, variation selectors, byte order mark; and Arabic's tatweel, which only stretches a word.
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u0640\u061c\u200c-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff]"
)
_BREAK = "\u200b"
"""Zero width space: where Thai, Lao and Khmer mark words, this does it."""
# PostgreSQL's tsvector holds at most 1 MB and lexemes of up to 2 kB; longer runs are never words.
_ENDLESS = re.compile(r"\S{400,}")


def searchable_text(text: str) -> str:
    """The text in one spelling, unspaced runs as pairs (`検索する` -> `検索 索す する`): for lexemes and queries.

    One spelling: Unicode's compatibility form (NFKC) without case, so that `café` typed as `e` and accent, `ＡＢＣ` in
    full width and Arabic's presentation forms are what they look like.
    """
    folded = _one_spelling(_UNSEEN.sub("", text).replace(_BREAK, " "))
    return _RUN.sub(_pairs, _ENDLESS.sub(lambda match: match[0][:400] + " ", folded))


def _one_spelling(text: str) -> str:
    # Without case the text may be decomposed again: Unicode's own recipe (NFKC_Casefold) normalises on both sides.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) == 1:
        return f" {run} "
    return " " + " ".join(run[i : i + 2] for i in range(len(run) - 1)) + " "
