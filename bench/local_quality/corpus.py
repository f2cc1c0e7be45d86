"""The evaluation set: twelve short documents, and questions that they answer or do not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent
_CHUNK_CHARS = 500
_OVERLAP_CHARS = 50


@dataclass(frozen=True, slots=True)
class Question:
    """`answers` are the strings of which a right answer contains one; none means that no document answers it."""

    document: str
    held_back: bool
    text: str
    answers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    document: str
    text: str


def questions() -> list[Question]:
    """All questions, in the file's order. Held-back documents took no part in choosing any number."""
    found: list[Question] = []
    document, held_back = "", False
    for line in (_FOLDER / "questions.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if head := re.fullmatch(r"\[(.*?)(\+?)\]", line):
            document, held_back = head[1], bool(head[2])
            continue
        text, _, answers = line.rpartition("|")
        parts = tuple(part.strip() for part in answers.split(" / ") if part.strip())
        found.append(Question(document, held_back, text.strip(), parts))
    return found


def chunks() -> list[Chunk]:
    """Every document in chunks of at most 500 characters with 50 of overlap, cut at paragraph, sentence or word."""
    return [
        Chunk(file.name, text)
        for file in sorted((_FOLDER / "documents").iterdir())
        for text in _cut(file.read_text(encoding="utf-8"))
    ]


def contains(text: str, answers: tuple[str, ...]) -> bool:
    """Whether the text holds one of the answers, white space and case aside."""
    folded = " ".join(text.casefold().split())
    return any(" ".join(answer.casefold().split()) in folded for answer in answers)


def _cut(text: str) -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(text):
        end = min(len(text), start + _CHUNK_CHARS)
        if end < len(text):
            for mark in ("\n\n", ". ", ".\n", "\n", " "):
                found = text.rfind(mark, start + _CHUNK_CHARS // 2, end)
                if found > 0:
                    end = found + len(mark)
                    break
        pieces.append(text[start:end].strip())
        if end >= len(text):
            break
        start = end - _OVERLAP_CHARS
        while start < end and not text[start - 1].isspace():
            start += 1
    return [piece for piece in pieces if piece]
