"""What a prompt's numbers stand for: passages, those that are neighbours on their page joined into one text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from datastores.records import PassageRecord


@dataclass(frozen=True, slots=True)
class Source:
    """One or more chunks that follow each other on one page. `text` has what they share once."""

    chunks: tuple[PassageRecord, ...]
    """In reading order, at least one. A quote is taken from one of them, never across two."""
    text: str

    @property
    def document_name(self) -> str:
        """Of the document that all of them are from."""
        return self.chunks[0].document_name

    @property
    def page(self) -> int | None:
        """The page that all of them are on."""
        return self.chunks[0].page


def joined(passages: Sequence[PassageRecord]) -> list[Source]:
    """The passages with neighbours joined, each where the best of its chunks was; the best come first, and stay so."""
    rank = {passage.chunk_id: place for place, passage in enumerate(passages)}
    pages: dict[tuple[UUID, int | None], list[PassageRecord]] = {}
    for passage in passages:
        pages.setdefault((passage.document_id, passage.page), []).append(passage)
    sources = [source for of_page in pages.values() for source in _runs(of_page)]
    return sorted(sources, key=lambda source: min(rank[chunk.chunk_id] for chunk in source.chunks))


def _runs(of_page: Iterable[PassageRecord]) -> list[Source]:
    sources: list[Source] = []
    for chunk in sorted(of_page, key=lambda passage: passage.ordinal):
        before = sources[-1] if sources else None
        if before is not None and chunk.ordinal == before.chunks[-1].ordinal + 1:
            sources[-1] = Source((*before.chunks, chunk), before.text + _continuation(before.chunks[-1], chunk))
        else:
            sources.append(Source((chunk,), chunk.text))
    return sources


def _continuation(before: PassageRecord, chunk: PassageRecord) -> str:
    """What the chunk says beyond the one before. Between two that do not overlap there is white space, and no more."""
    gap = chunk.start - (before.start + len(before.text))
    return chunk.text[-gap:] if gap <= 0 else "\n" * min(gap, 2) + chunk.text
