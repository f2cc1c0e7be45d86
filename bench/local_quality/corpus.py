"""The evaluation sets: documents, and questions that they answer or do not. Each set is searched by itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ingest.chunks import chunk_page

_HERE = Path(__file__).parent
# `first` is the older set of short documents; `outsider` asks as strangers do, in other words than the documents'.
# `third` is of longer documents, and nothing was ever chosen by it.
_FOLDERS = {"first": _HERE, "outsider": _HERE / "outsider", "third": _HERE / "third"}
SETS = tuple(_FOLDERS)
# A long legal text that nobody wrote for this.
_BORROWED = {"outsider": {"licence.txt": _HERE.parent.parent / "LICENSE"}}


@dataclass(frozen=True, slots=True)
class Question:
    """`answers` are the strings of which a right answer contains one; none means that no document answers it.

    `previous` is the question before it in the conversation, for one that makes sense only after that; else "".
    """

    document: str
    held_back: bool
    text: str
    answers: tuple[str, ...]
    previous: str = ""


@dataclass(frozen=True, slots=True)
class Chunk:
    document: str
    text: str
    ordinal: int
    start: int


def questions(name: str) -> list[Question]:
    """All questions of a set, in the file's order. Held-back documents took no part in choosing any number."""
    found: list[Question] = []
    document, held_back = "", False
    for line in (_FOLDERS[name] / "questions.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if head := re.fullmatch(r"\[(.*?)(\+?)\]", line):
            document, held_back = head[1], bool(head[2])
            continue
        text, _, answers = line.rpartition("|")
        previous, _, text = text.rpartition(" >> ")
        parts = tuple(part.strip() for part in answers.split(" / ") if part.strip())
        found.append(Question(document, held_back, text.strip(), parts, previous.strip()))
    return found


def files(name: str) -> dict[str, Path]:
    """Every document of a set, by its name."""
    return {file.name: file for file in sorted((_FOLDERS[name] / "documents").iterdir())} | _BORROWED.get(name, {})


def chunks(name: str) -> list[Chunk]:
    """Every document of a set in the product's own passages."""
    texts = {document: file.read_text(encoding="utf-8") for document, file in sorted(files(name).items())}
    return [
        Chunk(document, text[span.start : span.end], ordinal, span.start)
        for document, text in texts.items()
        for ordinal, span in enumerate(chunk_page(text))
    ]


def contains(text: str, answers: tuple[str, ...]) -> bool:
    """Whether the text holds one of the answers, white space and case aside."""
    folded = " ".join(text.casefold().split())
    return any(" ".join(answer.casefold().split()) in folded for answer in answers)
