"""Opaque ids and cursors: what goes out comes back the same, and nothing else is taken for one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from core.ids import (
    InvalidIdError,
    NodeKind,
    cursor_number,
    cursor_time_and_id,
    decode_cursor,
    encode_cursor,
    new_id,
    parse_global,
    parse_id,
    to_global,
)

MOMENTS = st.datetimes(timezones=st.just(UTC))
ZEROS = "0" * 32


@given(st.sampled_from(NodeKind), st.uuids())
def test_an_id_comes_back_as_it_went_out(kind: NodeKind, value: UUID) -> None:
    text = to_global(kind, value)
    assert parse_global(text) == (kind, value)
    assert parse_id(kind, text) == value
    assert text.isascii()


@given(st.sampled_from(NodeKind), st.sampled_from(NodeKind), st.uuids())
def test_an_id_of_one_kind_is_not_one_of_another(made: NodeKind, asked: NodeKind, value: UUID) -> None:
    assume(made is not asked)
    with pytest.raises(InvalidIdError, match="another kind"):
        parse_id(asked, to_global(made, value))


@given(st.text().filter(lambda text: len(text) != 36))
@example("")
@example("doc_")
@example("doc_" + "0" * 31)
@example("doc_" + "0" * 33)
@example("doc_" + "g" * 32)
@example("doc_" + "A" * 32)
@example("doc_" + "٠" * 32)
@example("doc_" + "0" * 30 + "_0")
@example("doc_{" + "0" * 30 + "}")
@example("doc_urn:uuid:" + "0" * 23)
@example("DOC_" + ZEROS)
@example("xyz_" + ZEROS)
@example(" doc_" + ZEROS)
@example("doc_" + ZEROS + "\n")
@example("\ud800")
def test_what_was_never_given_out_is_not_an_id(text: str) -> None:
    with pytest.raises(InvalidIdError, match="is not an id of this API"):
        parse_global(text)


def test_a_long_malformed_id_is_not_repeated_in_full() -> None:
    with pytest.raises(InvalidIdError) as caught:
        parse_global("x" * 10_000)
    assert len(str(caught.value)) < 120


def test_prefixes_never_change() -> None:
    assert {kind.name: kind.value for kind in NodeKind} == {
        "TENANT": "ten",
        "USER": "usr",
        "ASSISTANT": "ast",
        "DOCUMENT": "doc",
        "CHUNK": "chk",
        "CONVERSATION": "cnv",
        "MESSAGE": "msg",
        "ANSWER": "ans",
        "SESSION": "ses",
        "API_KEY": "key",
    }


def test_new_ids_are_version_7_and_sort_by_the_time_they_were_made() -> None:
    made = [new_id() for _ in range(2_000)]
    assert {value.version for value in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(MOMENTS, st.uuids())
def test_a_time_cursor_keeps_every_microsecond(moment: datetime, value: UUID) -> None:
    assert cursor_time_and_id(encode_cursor(moment, value)) == (moment, value)


@given(st.integers(0, 2**31 - 1))
def test_a_number_cursor_comes_back_as_it_went_out(number: int) -> None:
    assert cursor_number(encode_cursor(number)) == number


# No random text of these is one: "MQ" would be the cursor of 1.
@given(st.one_of(st.text(max_size=1), st.binary(min_size=11).map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
@example("")
@example("é")
@example("=")
@example("MQ==\n")
@example("\ud800")
@example(encode_cursor("-1"))
@example(encode_cursor(2**31))
@example(encode_cursor("٣"))
@example(encode_cursor("1_0"))
@example(encode_cursor(" 1"))
@example(encode_cursor(10**30, UUID(int=0)))
@example(encode_cursor("-" + "9" * 5_000, UUID(int=0)))
@example(encode_cursor("9" * 5_000, UUID(int=0)))
@example(encode_cursor(1, "not a uuid"))
@example(encode_cursor(1, 2, 3))
def test_any_other_text_is_not_a_cursor(text: str) -> None:
    for read in (cursor_number, cursor_time_and_id):
        with pytest.raises(InvalidIdError, match="is not a cursor of this connection"):
            read(text)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidIdError):
        cursor_number(encode_cursor(datetime(2026, 1, 1, tzinfo=UTC), new_id()))
    with pytest.raises(InvalidIdError):
        cursor_time_and_id(encode_cursor(7))
    with pytest.raises(InvalidIdError):
        decode_cursor(encode_cursor("a", "b"), 3)
