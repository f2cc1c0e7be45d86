"""Sentences and their exact places, in the shapes that chunks of real documents have."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.sentences import MAX_CHARS, split_sentences


def quoted(text: str) -> list[str]:
    return [" ".join(text[s.start : s.end].split()) for s in split_sentences(text) if not s.is_heading]


def headings(text: str) -> list[str]:
    return [s.heading for s in split_sentences(text) if not s.is_heading]


@given(
    st.text(
        alphabet=st.one_of(st.sampled_from(list(". !?\n\t#-|*:;`=0123aAbBzZ()[]\"'。？\r\f\u2028")), st.characters()),
        max_size=400,
    )
)
@settings(max_examples=150, deadline=None)
def test_sentences_are_trimmed_stretches_of_the_text_in_order_and_apart(text: str) -> None:
    end = 0
    for sentence in split_sentences(text):
        stretch = text[sentence.start : sentence.end]
        assert end <= sentence.start < sentence.end <= len(text)
        assert stretch == stretch.strip()
        assert len(stretch) <= MAX_CHARS or sentence.is_heading or not sentence.is_prose
        end = sentence.end


@given(
    st.lists(
        st.sampled_from(["The tower is tall.", "Is it open?", "Nobody knows!", "It cost 3.5 million."]), min_size=1
    )
)
def test_plain_sentences_come_back_as_they_went_in(sentences: list[str]) -> None:
    assert quoted(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "Waste is collected by the team of Dr. Weller on Thursdays.",
        "It was written by J. R. Smith in 1932.",
        "See Fig. 3 and No. 7 for details.",
        "Use a strong acid, e.g. Nitric acid, with care.",
        "The weight is 3.5 kg at 20.5 degrees.",
        "Open https://api.example.test/v2 in the browser.",
    ],
)
def test_a_full_stop_inside_a_sentence_does_not_end_it(sentence: str) -> None:
    assert quoted(f"{sentence} Another one follows.") == [sentence, "Another one follows."]


def test_a_line_break_inside_a_sentence_does_not_end_it() -> None:
    text = "The lighthouse was designed by the engineer\nIsobel Drummond and first lit in\n1871. It replaced a beacon."

    assert quoted(text) == [
        "The lighthouse was designed by the engineer Isobel Drummond and first lit in 1871.",
        "It replaced a beacon.",
    ]


def test_headings_of_every_kind_stand_over_their_sentences() -> None:
    assert headings("## Annual leave\n\nStaff receive 27 days.") == ["Annual leave"]
    assert headings("Annual leave\n============\nStaff receive 27 days.") == ["Annual leave"]
    assert headings("Annual leave\nStaff receive 27 days of leave each year.") == ["Annual leave"]
    assert headings("3. Waste\nWaste is collected on Thursdays.") == ["3. Waste"]
    assert headings("4. Deposit. The tenant pays a deposit.") == ["Deposit"]
    assert headings("**Lost luggage.** We pay for what you need.") == ["Lost luggage"]


def test_list_items_rows_and_key_values_stand_alone() -> None:
    assert quoted("- Red light: empty\n- Green light: ready") == ["Red light: empty", "Green light: ready"]
    assert quoted("1. Boil water\n2. Add tea\n3. Wait") == ["Boil water", "Add tea", "Wait"]
    assert quoted("Power: 1450 W\nWeight: 6.2 kg\nCable: 1.1 m") == ["Power: 1450 W", "Weight: 6.2 kg", "Cable: 1.1 m"]
    assert quoted("| Code | Meaning |\n|---|---|\n| 404 | Not there. |") == ["Code | Meaning", "404 | Not there."]


def test_sentences_torn_by_the_chunk_are_marked_and_whole_ones_are_not() -> None:
    text = "under twelve go free. The museum is open daily. Admission for adults is"

    assert [sentence.is_torn for sentence in split_sentences(text)] == [True, False, True]


def test_scripts_without_spaces_are_cut_at_their_own_full_stops() -> None:
    assert quoted("灯台は白い。博物館は開いています。本当ですか？") == [
        "灯台は白い。",
        "博物館は開いています。",
        "本当ですか？",
    ]


def test_a_sentence_without_end_is_cut_at_words() -> None:
    pieces = quoted("word " * 1_000)

    assert all(len(piece) <= MAX_CHARS for piece in pieces)
    assert " ".join(pieces).split() == ["word"] * 1_000
