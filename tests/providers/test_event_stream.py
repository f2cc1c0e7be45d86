"""Reading server-sent events, however they are cut, ended and decorated."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.http.event_stream import MAX_EVENT_BYTES, EventStream, EventTooLongError


def events(*pieces: bytes) -> list[bytes]:
    """What a stream of these pieces says."""
    stream = EventStream()
    return [event for piece in pieces for event in stream.feed(piece)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a \n\n", [b" a "]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\r\rdata: b\r\r", [b"a", b"b"]),
        (b": a comment\n\n:\n\ndata: a\n\n", [b"a"]),
        (b"event: message\nid: 7\nretry: 10\ndata: a\n\n", [b"a"]),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data\n\n", [b""]),
        (b"\n\n\n", []),
        (b"data: cut off", []),
        (b"data: cut off\n", []),
        (b"", []),
    ],
)
def test_the_forms_that_servers_send(body: bytes, expected: list[bytes]) -> None:
    assert events(body) == expected
    assert events(*(body[i : i + 1] for i in range(len(body)))) == expected


def test_an_empty_piece_between_the_bytes_of_a_line_end_means_nothing() -> None:
    assert events(b"data: a\r", b"", b"\ndata: b\r\n", b"", b"\r\n") == [b"a\nb"]


LINES = st.sampled_from([b"data: one", b"data: two", b"data:", b": comment", b"event: x", b"data: \xff[1]", b""])


@given(st.lists(LINES, max_size=30), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.data())
def test_where_the_bytes_are_cut_and_how_lines_end_means_nothing(
    lines: list[bytes], end: bytes, data: st.DataObject
) -> None:
    body = end.join(lines)
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    pieces = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    # Pieces may be empty, as a read at the end of a body is.
    assert events(*pieces, end) == events(b"\n".join(lines) + b"\n")


@pytest.mark.parametrize("line", [b"data: " + b"x" * 1000, b"data: x\n"], ids=["one line", "many lines"])
def test_what_is_kept_of_an_event_that_does_not_end_is_bounded(line: bytes) -> None:
    with pytest.raises(EventTooLongError):
        events(*itertools.repeat(line, 2 * MAX_EVENT_BYTES // len(line)))


def test_a_megabyte_in_one_event_is_read_however_it_comes() -> None:
    body = b"data: " + b"x" * 1_000_000 + b"\n\n"
    assert events(*(body[i : i + 997] for i in range(0, len(body), 997))) == [b"x" * 1_000_000]
