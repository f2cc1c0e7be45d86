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
    ListKind,
    NodeKind,
    cursor_of_message,
    cursor_of_time,
    new_id,
    parse_global,
    parse_id,
    parse_message_cursor,
    parse_time_cursor,
    to_global,
)

MOMENTS = st.datetimes(timezones=st.just(UTC))
ZEROS = "0" * 32
TIMED = [kind for kind in ListKind if kind is not ListKind.MESSAGES]
NOBODY = UUID(int=0)


def encoded(text: str) -> str:
    """A cursor as somebody would forge it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


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


@pytest.mark.parametrize("text", ["hunter2", f"usr_{ZEROS}", encoded("documents|hunter2")])
def test_what_is_no_id_or_cursor_is_not_told_back(text: str) -> None:
    for parse in (
        lambda: parse_id(NodeKind.DOCUMENT, text),
        lambda: parse_time_cursor(ListKind.DOCUMENTS, text),
        lambda: parse_message_cursor(NOBODY, text),
    ):
        with pytest.raises(InvalidIdError) as caught:
            parse()
        assert not any(part in str(caught.value) for part in (text, text[:6], ZEROS, "hunter2"))


def test_prefixes_never_change() -> None:
    assert {kind.name: kind.value for kind in NodeKind} == {
        "TENANT": "ten",
        "USER": "usr",
        "ASSISTANT": "ast",
        "DOCUMENT": "doc",
        "CHUNK": "chk",
        "CONVERSATION": "cnv",
        "MESSAGE": "msg",
        "INVITATION": "inv",
        "ANSWER": "ans",
        "SESSION": "ses",
        "API_KEY": "key",
        "PROMPT": "prm",
        "PROVIDER_KEY": "pky",
        "AUDIT_ENTRY": "aud",
    }


def test_new_ids_are_version_7_and_sort_by_the_time_they_were_made() -> None:
    made = [new_id() for _ in range(2_000)]
    assert {value.version for value in made} == {7}
    assert made == sorted(made)
    assert len(set(made)) == len(made)


@given(st.sampled_from(TIMED), MOMENTS, st.uuids())
def test_a_time_cursor_keeps_every_microsecond(kind: ListKind, moment: datetime, value: UUID) -> None:
    assert parse_time_cursor(kind, cursor_of_time(kind, moment, value)) == (moment, value)


@given(st.uuids(), st.integers(0, 2**31 - 1))
def test_a_message_cursor_comes_back_as_it_went_out(conversation: UUID, sequence: int) -> None:
    assert parse_message_cursor(conversation, cursor_of_message(conversation, sequence)) == sequence


@given(st.one_of(st.text(), st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())))
@example("")
@example("é")
@example("=")
@example("\ud800")
@example(cursor_of_message(NOBODY, 1) + "=")
@example(cursor_of_message(NOBODY, 1) + "\n")
@example(cursor_of_message(NOBODY, -1))
@example(cursor_of_message(NOBODY, 2**31))
@example(cursor_of_message(UUID(int=1), 1))
@example(encoded(f"messages|1_0|{ZEROS}"))
@example(encoded(f"messages| 1|{ZEROS}"))
@example(encoded(f"messages|+1|{ZEROS}"))
@example(encoded(f"messages|01|{ZEROS}"))
@example(encoded(f"messages|-0|{ZEROS}"))
@example(encoded(f"messages|٣|{ZEROS}"))
@example(encoded(f"messages|1|{UUID(int=0)}"))
@example(encoded(f"messages|1|{ZEROS}|1"))
@example(encoded("messages|1"))
@example(encoded("1"))
@example(encoded(f"documents| 1_0|{ZEROS}"))
@example(encoded(f"documents|1.0|{ZEROS}"))
@example(encoded(f"documents|{10**30}|{ZEROS}"))
@example(encoded(f"documents|{'9' * 5_000}|{ZEROS}"))
@example(encoded(f"documents|-{'9' * 5_000}|{ZEROS}"))
@example(encoded("documents|1|not a uuid"))
@example(encoded(f"documents|1|urn:uuid:{ZEROS}"))
@example(encoded(f"DOCUMENTS|1|{ZEROS}"))
def test_any_other_text_is_not_a_cursor(text: str) -> None:
    for kind in TIMED:
        with pytest.raises(InvalidIdError, match="is not a cursor of this connection"):
            parse_time_cursor(kind, text)
    with pytest.raises(InvalidIdError, match="is not a cursor of this connection"):
        parse_message_cursor(NOBODY, text)


@given(st.sampled_from(ListKind), st.sampled_from(TIMED), st.uuids())
def test_a_cursor_of_another_list_is_refused(made: ListKind, asked: ListKind, value: UUID) -> None:
    assume(made is not asked)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    of_another = cursor_of_message(value, 1) if made is ListKind.MESSAGES else cursor_of_time(made, moment, value)
    with pytest.raises(InvalidIdError, match="is not a cursor of this connection"):
        parse_time_cursor(asked, of_another)
    with pytest.raises(InvalidIdError, match="is not a cursor of this connection"):
        parse_message_cursor(value, cursor_of_time(asked, moment, value))
