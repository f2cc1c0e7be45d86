"""Passages: their bounds, where they begin and end, and that nothing is lost."""

from __future__ import annotations

from itertools import pairwise
from time import process_time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.boundaries import breaks
from ingest.chunks import Span, chunk_page

# What a reader sees as one character each, and which do not join when they stand beside each other.
CHARACTERS = [
    *(
        "a",
        "Z",
        "7",
        ".",
        "é",
        "e\u0301",
        "o\u0323\u0302",
        "中",
        "。",
        "あ",
        "ไ",
        "กำ",
        "🎉",
        "👍🏽",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
    ),
    *("🇩🇪", "🇫🇷", "👩\u200d👩\u200d👧\u200d👦", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"),
    *("한", "\u1112\u1161\u11ab", "क्षि", "नी", "\u0600\u0661", "y\u0308\u200d"),
]


def check_laws(text: str, spans: list[Span], size: int, overlap: int) -> None:
    covered = 0
    for index, span in enumerate(spans):
        chunk = text[span.start : span.end]
        assert chunk == chunk.strip()
        assert chunk
        assert len(chunk) <= (size if index < len(spans) - 1 else size + size // 5)
        assert not text[covered : span.start].strip(), "nothing between two passages is lost"
        assert span.end > covered, "every passage says something new"
        covered = span.end
    assert not text[covered:].strip()
    for before, after in pairwise(spans):
        assert before.start < after.start
        assert before.end - after.start <= overlap


@given(st.text(max_size=3000), st.integers(20, 120), st.data())
@example("e" + "\u0301" * 500, 50, None)
@example(" " * 300 + "a" + " " * 300 + "\u0301b", 50, None)
def test_any_text_is_covered_in_order_within_the_bounds(text: str, size: int, data: st.DataObject | None) -> None:
    overlap = data.draw(st.integers(0, (size - 1) // 4)) if data else 10
    check_laws(text, chunk_page(text, size, overlap), size, overlap)


@given(st.text("ab \n.!\u3002\u0301", max_size=2000))
def test_text_full_of_boundaries_keeps_the_laws(text: str) -> None:
    check_laws(text, chunk_page(text, 40, 9), 40, 9)


@given(st.lists(st.sampled_from([*CHARACTERS, " ", "\n"]), max_size=400), st.integers(60, 150))
def test_no_passage_begins_or_ends_inside_a_character(characters: list[str], size: int) -> None:
    text = "".join(characters)
    edges, at = {0}, 0
    for character in characters:
        at += len(character)
        edges.add(at)
    spans = chunk_page(text, size, size // 5)
    check_laws(text, spans, size, size // 5)
    assert {edge for span in spans for edge in (span.start, span.end)} <= edges


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2003\n"])
def test_a_page_without_ink_has_no_passages(text: str) -> None:
    assert chunk_page(text) == []


def test_a_page_that_fits_is_one_passage_without_its_margins() -> None:
    assert chunk_page("  " + "x" * 600 + " \n") == [Span(2, 602)]


def sentences(count: int, length: int = 80) -> list[str]:
    return [f"Sentence number {index} ".ljust(length - 1, "x") + "." for index in range(count)]


def test_passages_of_prose_are_whole_sentences() -> None:
    text = " ".join(sentences(40))
    chunks = [text[span.start : span.end] for span in chunk_page(text)]
    assert all(chunk.startswith("Sentence number") and chunk.endswith(".") for chunk in chunks)
    assert all(400 <= len(chunk) <= 600 for chunk in chunks[:-1])


def test_a_short_last_sentence_is_repeated_in_the_next_passage() -> None:
    text = " ".join(part for sentence in sentences(20) for part in (sentence, "It is so."))
    for before, after in pairwise(chunk_page(text)):
        repeated = text[after.start : before.end]
        assert repeated in ("It is so.", "") or repeated.startswith("Sentence number")
    assert any(after.start < before.end for before, after in pairwise(chunk_page(text)))


def test_a_paragraphs_end_is_preferred_to_a_later_sentences() -> None:
    first = " ".join(sentences(4))
    text = first + "\n\n" + " ".join(sentences(8))
    assert chunk_page(text)[0] == Span(0, len(first))


def test_text_without_sentences_is_cut_between_words_and_overlaps_by_words() -> None:
    text = " ".join(f"word{index}" for index in range(1000))
    spans = chunk_page(text)
    words = set(text.split())
    for span in spans:
        assert set(text[span.start : span.end].split()) <= words
    assert all(35 <= before.end - after.start <= 50 for before, after in pairwise(spans))


def test_abbreviations_and_initials_end_no_sentence() -> None:
    text = ("x" * 60 + " ") * 6 + "and then Dr. Ada J. Smith of e.g. Example Inc. said so. " + ("Y" * 60 + " ") * 8
    assert text[: chunk_page(text)[0].end].endswith("said so.")


@pytest.mark.parametrize("letters", [12, 120, 900], ids=str)
def test_every_sentence_of_a_long_paragraph_is_found_wherever_it_begins(letters: int) -> None:
    one = "Word " * (letters // 5) + "end."
    text = " ".join([one] * 40) + "\n\nAnother paragraph. It has two sentences."
    _, found, _ = breaks(text)
    at = [(len(one) + 1) * count for count in range(1, 40)]
    assert [*zip(found.ends, found.starts, strict=True)] == [
        *((begin - 1, begin) for begin in at),
        (text.index("\n"), text.index("Another")),
        (text.index(" It has"), text.index("It has")),
    ]


def test_text_without_spaces_is_cut_at_its_own_full_stops() -> None:
    text = "这是第一句话的内容。" * 200
    assert all(text[span.start : span.end].endswith("。") for span in chunk_page(text))


@pytest.mark.parametrize("unit", ["x", "🇩🇪", "\u0301", "中。", ".", "a\n", "word ", " \n", "'", "“"], ids=ascii)
def test_a_megabyte_of_anything_takes_linear_time(unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    started = process_time()
    chunk_page(text)
    assert process_time() - started < 5  # 0.05 to 0.8 s on a shared core; anything quadratic takes minutes


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (100, 25), (100, -1)])
def test_impossible_sizes_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap"):
        chunk_page("text", size, overlap)
