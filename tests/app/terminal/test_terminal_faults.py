"""`colloquy ask` when things go wrong: broken connections and the stream's law, expired tokens, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from terminal_scripts import cited, completed, delta, plain_answer, progress, restarted, started
from terminal_stand_in import Close, Errors, Fault, Script, StandIn

Asks = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def cursors(stand_in: StandIn) -> list[str | None]:
    return [one["after"] for one in stand_in.called("answer")]


@pytest.mark.parametrize("how", [Close(None), Close(1012), Close(1011), Close(4408)])
def test_after_a_break_the_answer_goes_on_behind_the_last_event(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, how: Close
) -> None:
    events = plain_answer("Fifteen minutes [1].")
    stand_in.answers = [[*events[:4], how], events[4:]]

    assert ask_it() == 0

    out, err = capsys.readouterr()
    assert cursors(stand_in) == [None, "cursor-4"]
    assert out.count("Fifteen minutes [1].") == 1
    assert err == ""  # a break that heals at once is nobody's concern


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_for_any_schedule_of_breaks_and_repetitions_the_text_is_the_stored_message(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, data: st.DataObject
) -> None:
    pieces = data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=8))
    log = [started(), *(delta(number, piece) for number, piece in enumerate(pieces, start=2))]
    log.append(completed(len(log) + 1, "".join(pieces)))
    stand_in.forget()
    at = 0
    while at < len(log):
        back = data.draw(st.integers(0, min(2, at)), label="repeated events")
        ahead = data.draw(st.integers(1, len(log) - at), label="new events")
        script: Script = log[at - back : at + ahead]
        at += ahead
        stand_in.answers.append(
            script if at == len(log) else [*script, Close(data.draw(st.sampled_from([None, 1012])))]
        )
        if data.draw(st.booleans(), label="and one connection that brings nothing"):
            stand_in.answers.insert(-1, [Close(None)])

    assert ask_it(as_json=True) == 0

    result = json.loads(capsys.readouterr().out)
    assert result["text"] == "".join(pieces)
    assert result["restarts"] == 0
    assert stand_in.answers == []


def test_a_restart_forgets_text_and_citations_and_prints_the_new_attempt_whole(
    stand_in: StandIn, ask_it: Asks, capsys: Captured
) -> None:
    first = [started(), cited(2, 1, "old quote"), delta(3, "Old te")]
    second = [restarted(1, 2, "the server was replaced"), cited(2, 1, "new quote"), delta(3, "New text [1].")]
    script = [*first, *second, completed(4, "New text [1].")]
    stand_in.answers = [script, script]

    assert (ask_it(), ask_it(as_json=True)) == (0, 0)

    out = capsys.readouterr().out
    assert "\nOld te\n[The answer starts again: the server was replaced]\n\nNew text [1].\n" in out
    assert "old quote" not in out
    result = json.loads(out[out.index("{\n") :])
    assert (result["text"], [one["quote"] for one in result["citations"]]) == ("New text [1].", ["new quote"])
    assert result["restarts"] == 1


@pytest.mark.parametrize("gap", [delta(4, "c"), delta(3, "bc", first=2)], ids=["hole", "overlap"])
def test_missing_or_overlapping_events_make_it_read_the_answer_again(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, gap: dict[str, object]
) -> None:
    stand_in.answers = [
        [started(), delta(2, "a"), gap, completed(5, "abc")],
        [started(), delta(4, "abc", first=2), completed(5, "abc")],
    ]

    assert ask_it(as_json=True) == 0

    assert cursors(stand_in) == [None, None]
    assert json.loads(capsys.readouterr().out)["text"] == "abc"


def test_a_text_that_is_not_the_stored_one_is_replaced_by_it(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    stand_in.answers = [[started(), delta(2, "streamed"), completed(3, "stored")]]

    assert ask_it() == 0
    assert "[The stored answer differs from what arrived. This is the stored one:]\nstored\n" in capsys.readouterr().out


def test_a_stream_that_ends_without_its_last_event_is_resumed(stand_in: StandIn, ask_it: Asks) -> None:
    events = plain_answer()
    stand_in.answers = [events[:3], events[3:]]

    assert ask_it() == 0
    assert cursors(stand_in) == [None, "cursor-3"]


def test_it_gives_up_after_so_many_breaks_in_a_row_and_says_what_it_tried(
    stand_in: StandIn, ask_it: Asks, capsys: Captured
) -> None:
    events = plain_answer()
    one_by_one: list[Script] = [[event, Close(1012)] for event in events[:3]]
    stand_in.answers = [*one_by_one, *([Close(1012)] for _ in range(3))]

    assert ask_it() == 1

    [second, third, last] = capsys.readouterr().err.splitlines()
    assert second.endswith("broke off. Trying again (2 of 3).")
    assert third.endswith("broke off. Trying again (3 of 3).")
    assert last == f"colloquy: The connection to {stand_in.url}/graphql broke off. Given up after 3 tries in a row."


def test_a_broken_progress_report_is_taken_up_again(stand_in: StandIn, ask_it: Asks, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    stand_in.progress = [[progress("PARSING"), Close(None)], [progress("EMBEDDING")], [progress("READY", chunks=1)]]
    stand_in.answers = [plain_answer()]

    assert ask_it(file=file) == 0
    assert len(stand_in.called("documentProgress")) == 3


def test_a_progress_report_that_never_moves_on_is_given_up(
    stand_in: StandIn, ask_it: Asks, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    stand_in.progress = [[progress("PARSING")] for _ in range(5)]

    assert ask_it(file=file) == 1
    assert "before the document was done. Given up after 3 tries in a row." in capsys.readouterr().err
    assert stand_in.called("sendMessage") == []


def test_a_lost_response_is_asked_for_again_under_the_same_key(stand_in: StandIn, ask_it: Asks) -> None:
    stand_in.faults["sendMessage"] = [Fault(), Fault(status=503)]
    stand_in.answers = [plain_answer()]

    assert ask_it() == 0

    keys = [one["idempotencyKey"] for one in stand_in.called("sendMessage")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert stand_in.called("answer") == [{"id": "answer-1", "after": None}]


def test_an_expired_token_is_renewed_over_http_and_over_the_socket(
    stand_in: StandIn, ask_it: Asks, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("notes")
    stand_in.progress = [[progress("READY", chunks=1), stand_in.revoke]]  # startConversation is UNAUTHENTICATED
    events = plain_answer()
    stand_in.answers = [[*events[:4], stand_in.revoke, Close(None)], events[4:]]  # the next connection_init is refused

    assert ask_it(file=file) == 0

    assert len(stand_in.called("signIn")) == 3
    assert cursors(stand_in) == [None, "cursor-4"]


def test_a_refused_subscription_is_one_line(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    stand_in.answers = [[Errors("FORBIDDEN", "This answer is not yours.")]]

    assert ask_it() == 1
    assert capsys.readouterr().err.startswith("colloquy: This answer is not yours (FORBIDDEN). Sign in with")


def test_an_internal_error_names_the_request(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    stand_in.answers = [[Errors("INTERNAL", "Something went wrong.")]]

    assert ask_it() == 1
    assert capsys.readouterr().err == "colloquy: Something went wrong (INTERNAL). Request request-7.\n"


def _limited(milliseconds: int) -> dict[str, object]:
    words = "Too many questions. Try again in a second."
    return {"__typename": "RateLimited", "code": "RATE_LIMITED", "message": words, "retryAfterMs": milliseconds}


def test_what_comes_too_often_is_sent_again_when_the_server_says(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, tmp_path: Path
) -> None:
    (notes := tmp_path / "notes.txt").write_text("A file is read from its beginning again.")
    for name in ("signIn", "uploadDocument", "startConversation", "sendMessage"):
        stand_in.results[name] = [_limited(10)]
    stand_in.progress = [[Errors("RATE_LIMITED", "Too many requests.", 10)], [progress("READY")]]
    stand_in.answers = [[Errors("RATE_LIMITED", "Too many requests.", 10)], plain_answer()]

    assert ask_it(file=notes) == 0
    err = capsys.readouterr().err
    assert err.count("Too many questions. Try again in a second. Waiting.\n") == 4
    assert err.count("Too many requests. Waiting.\n") == 2
    assert [content for _, _, content, _ in stand_in.uploads] == [notes.read_bytes()]


def test_a_request_too_many_is_waited_for_over_http(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    extensions = {"code": "RATE_LIMITED", "requestId": "request-7", "retryAfterMs": 10}
    body = json.dumps({"errors": [{"message": "Too many requests.", "extensions": extensions}]})
    stand_in.faults["sendMessage"] = [Fault(status=429, body=body)]
    stand_in.answers = [plain_answer()]

    assert ask_it() == 0
    assert capsys.readouterr().err == "Too many requests. Waiting.\n"


def test_a_wait_that_is_too_long_is_left_to_the_person(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    stand_in.results["sendMessage"] = [_limited(61_000)]

    assert ask_it() == 1
    last = capsys.readouterr().err
    assert last == "colloquy: Too many questions. Try again in a second (RATE_LIMITED). Ask again in 61 s.\n"


def test_too_many_sockets_are_tried_again(stand_in: StandIn, ask_it: Asks) -> None:
    stand_in.answers = [[Close(4429)], plain_answer()]

    assert ask_it() == 0
