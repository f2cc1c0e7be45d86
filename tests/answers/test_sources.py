"""Neighbours on a page are one text in the prompt, and still several chunks to quote from."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from answers.citations import CitationFilter
from answers.sources import joined
from datastores.answer_events import Cited
from datastores.records import PassageRecord
from ingest.chunks import chunk_page

DOCUMENT = uuid4()


def chunk(text: str, ordinal: int, start: int, page: int | None = 1, document: UUID = DOCUMENT) -> PassageRecord:
    return PassageRecord(uuid4(), document, "tides.pdf", page, text, ordinal, start, 0.1, 1.0)


def test_what_neighbours_share_is_there_once() -> None:
    page = "The tide comes in at six. It goes out at noon. Boats leave with it."
    first, second = chunk(page[:46], 4, 0), chunk(page[26:], 5, 26)
    other = chunk("Fares rise in May.", 9, 700)
    (tide, fares) = joined([second, other, first])
    assert (tide.text, tide.chunks) == (page, (first, second))
    assert (fares.text, fares.chunks) == (other.text, (other,))
    assert (tide.document_name, tide.page) == ("tides.pdf", 1)


def test_a_page_a_document_and_a_gap_part() -> None:
    apart = [
        chunk("One.", 0, 0),
        chunk("Two.", 2, 10),
        chunk("Three.", 3, 0, page=2),
        chunk("Four.", 1, 5, document=uuid4()),
    ]
    assert [source.text for source in joined(apart)] == ["One.", "Two.", "Three.", "Four."]


def test_a_quote_is_of_the_chunk_that_says_it_and_its_place_is_the_page_s() -> None:
    page = "The tide comes in at six. It goes out at noon. Boats leave with it. The harbour is closed in March."
    first, second = chunk(page[:46], 4, 300), chunk(page[26:], 5, 326)
    filtered = CitationFilter(joined([first, second]))
    filtered.feed("In March the harbour is closed [1]. ")
    (cited,) = [event for event in filtered.citations if isinstance(event, Cited)]
    assert (cited.chunk_id, cited.quote) == (second.chunk_id, "The harbour is closed in March.")
    assert (cited.start, cited.end) == (300 + page.index(cited.quote), 300 + len(page))


_PAGES = st.lists(
    st.text(st.sampled_from("abc é漢.!?\t"), min_size=1, max_size=200).map(str.strip).filter(bool),
    min_size=1,
    max_size=20,
).map("\n\n".join)


@given(_PAGES, st.randoms(use_true_random=False))
def test_joined_passages_are_the_page_s_own_text(text: str, random: object) -> None:
    spans = chunk_page(text, 60, 8)
    chunks = [chunk(text[span.start : span.end], number, span.start) for number, span in enumerate(spans)]
    chosen = [one for one in chunks if random.random() < 0.7]  # type: ignore[attr-defined]
    random.shuffle(chosen)  # type: ignore[attr-defined]
    sources = joined(chosen)
    assert sorted(one.ordinal for source in sources for one in source.chunks) == sorted(one.ordinal for one in chosen)
    for source in sources:
        assert all(one.text in source.text for one in source.chunks)
        # White space between two passages is the one thing that may be told otherwise.
        first, last = source.chunks[0], source.chunks[-1]
        whole = text[first.start : last.start + len(last.text)]
        assert "".join(source.text.split()) == "".join(whole.split())
    ranks = [min(chosen.index(one) for one in source.chunks) for source in sources]
    assert ranks == sorted(ranks)
