"""The filter between provider and log."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from answers.citations import HOLD, CitationFilter
from answers.quotes import MAX_QUOTE_CHARS, best_quote, claim_before
from answers.sources import joined
from datastores.answer_events import Cited, Delta
from datastores.records import PassageRecord

TEXTS = (
    "The harbour opens at six. Ships pay a fee of 40 crowns.",
    "The library closes at nine. Late returns cost 2 crowns a day.",
    "Dogs must be kept on a lead. Cats may roam.",
)
PASSAGES = [
    PassageRecord(uuid4(), UUID(int=n), f"doc{n}.txt", n, text, 0, 7 * n, 0.1 * n, 1.0)
    for n, text in enumerate(TEXTS, start=1)
]


def run(pieces: list[str]) -> tuple[str, list[Cited]]:
    """The text that went out and the citations, after checking their order."""
    citations = CitationFilter(joined(PASSAGES))
    events = [event for piece in pieces for event in citations.feed(piece)] + citations.finish()
    text, known = "", set()
    for event in events:
        if isinstance(event, Cited):
            known.add(event.marker)
        else:
            assert isinstance(event, Delta)
            assert event.text
            text += event.text
            assert {int(n) for n in re.findall(r"\[(\d{1,3})\]", event.text)} <= known
    assert text == citations.text
    return text, citations.citations


def test_markers_are_numbered_by_first_use() -> None:
    text, cited = run(["Dogs on a lead [3]. Fee of 40 crowns [1]. Cats roam [3]."])
    assert text == "Dogs on a lead [1]. Fee of 40 crowns [2]. Cats roam [1]."
    assert [c.document_name for c in cited] == ["doc3.txt", "doc1.txt"]


def test_a_marker_without_a_source_vanishes_with_the_space_before_it() -> None:
    assert run(["Nobody knows [9]. Or [0] so."])[0] == "Nobody knows. Or so."


def test_a_list_of_markers_becomes_one_marker_each() -> None:
    assert run(["Both [1, 2] and [2,7]."])[0] == "Both [1][2] and [2]."


def test_brackets_that_are_no_markers_pass() -> None:
    text = "An array a[i], [see below], [12345678901], [], [ and [x]"
    assert run([text])[0] == text


def test_at_most_a_marker_s_length_is_held_back() -> None:
    citations = CitationFilter(joined(PASSAGES))
    sent = "".join(e.text for e in citations.feed("Open [1234567890") if isinstance(e, Delta))
    assert sent == "Open [1234567890"
    assert citations.feed("[12") == []
    held = "".join(e.text for e in citations.feed("3, 4, 5") if isinstance(e, Delta))
    assert len("[123, 4, 5") - len(held) <= HOLD


PIECES = st.lists(
    st.sampled_from(["Dogs ", "[", "]", "1", "2", "3", "9", ",", " ", "[1]", " [2]", "[3, 1]", ".", "\n", "x[0", "é"]),
    max_size=40,
)


@given(PIECES, st.data())
def test_how_the_text_is_cut_into_pieces_does_not_matter(pieces: list[str], data: st.DataObject) -> None:
    whole = "".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert run(parts)[0] == run([whole])[0]


@given(PIECES)
def test_every_quote_is_an_exact_part_of_its_passage(pieces: list[str]) -> None:
    for cited in run(pieces)[1]:
        passage = next(p for p in PASSAGES if p.chunk_id == cited.chunk_id)
        assert cited.quote
        assert cited.start is not None
        assert passage.text[cited.start - passage.start :].startswith(cited.quote)
        assert cited.end == cited.start + len(cited.quote)


def test_the_quote_is_the_sentence_that_supports_the_claim() -> None:
    _, cited = run(["You pay 40 crowns as a fee. [1]"])
    assert cited[0].quote == "Ships pay a fee of 40 crowns."
    _, cited = run(["The harbour is open from six o'clock [1]."])
    assert cited[0].quote == "The harbour opens at six."


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("First. Second one.", "First. Second one."),
        ("Old claim [1]. New claim", "New claim"),
        ("Shared claim. [1]", "Shared claim."),
        ("", ""),
        ("One. Two. Three. Four.", "Two. Three. Four."),
    ],
)
def test_a_marker_stands_behind_the_sentences_since_the_one_before(text: str, claim: str) -> None:
    assert claim_before(text).lstrip(". ") == claim


@given(st.text(max_size=2_000), st.text(max_size=200))
def test_a_quote_is_always_an_exact_short_part(passage: str, claim: str) -> None:
    place, quote = best_quote([passage], claim)
    assert place == 0
    assert quote in passage
    assert len(quote) <= MAX_QUOTE_CHARS
    assert quote or not passage
