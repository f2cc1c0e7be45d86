"""Text as PostgreSQL's full-text search needs it: scripts that write no spaces are cut into overlapping pairs."""

from __future__ import annotations

import re

# Han, Hiragana, Katakana (and its phonetic extensions), Thai, Lao, Khmer, Myanmar: scripts without word spaces.
_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
)
_RUN = re.compile(f"[{_UNSPACED}]+")
# PostgreSQL's tsvector holds at most 1 MB and lexemes of up to 2 kB; longer runs are never words.
_ENDLESS = re.compile(r"\S{400,}")


def searchable_text(text: str) -> str:
    """The text with unspaced runs written as pairs (`検索する` -> `検索 索す する`): for lexemes and for queries."""
    return _RUN.sub(_pairs, _ENDLESS.sub(lambda match: match[0][:400] + " ", text))


def _pairs(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) == 1:
        return f" {run} "
    return " " + " ".join(run[i : i + 2] for i in range(len(run) - 1)) + " "
