"""`colloquy ask` against a server that speaks the contract: what it sends, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal_scripts import (
    cited,
    command_process,
    completed,
    delta,
    failed,
    plain_answer,
    progress,
    started,
    step,
    stopped,
)
from terminal_stand_in import Hang, StandIn, UntilCalled

Asks = Callable[..., int]
READY = progress("READY", 8, 8, 57)


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.pdf"
    path.write_bytes(b"%PDF-1.7 " + b"x" * 20_000)
    return path


def test_a_pipe_gets_one_plain_line_for_each_stage_then_the_answer_and_its_sources(
    stand_in: StandIn, ask_it: Asks, handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = [progress("QUEUED"), progress("PARSING", 1, 8), progress("PARSING", 8, 8), progress("EMBEDDING", 8, 8, 20)]
    stand_in.progress = [[*stages, READY]]
    stand_in.answers = [plain_answer()]

    assert ask_it(file=handbook) == 0

    out, err = capsys.readouterr()
    assert err == ""
    assert out == (
        "Signed in as Ada (ada@x.example)\n"
        "Uploaded handbook.pdf (20 KiB)\n"
        "handbook.pdf is ready: 8 pages, 57 chunks\n"
        "Asked: How long?\n"
        "Searching the documents\n"
        "\n"
        "Fifteen minutes [1].\n"
        "\n"
        "Sources\n"
        "[1] handbook.pdf, page 3\n"
        "    “An access token lives 15 minutes.”\n"
        "\n"
        "local · first word after 0.1 s, done after 0.8 s · go on with --conversation conversation-1\n"
    )


def test_an_upload_carries_the_whole_file_its_name_type_and_length_and_the_preflight_header(
    stand_in: StandIn, ask_it: Asks, handbook: Path
) -> None:
    stand_in.progress, stand_in.answers = [[READY]], [plain_answer()]

    ask_it(file=handbook)

    assert [one["name"] for one in stand_in.called("uploadDocument")] == ["handbook.pdf"]
    [(name, content_type, content, length)] = stand_in.uploads
    assert (name, content_type, content) == ("handbook.pdf", "application/pdf", handbook.read_bytes())
    assert int(length or 0) > len(content)
    assert stand_in.preflights[1] == "1"


def test_json_is_one_document_with_the_stored_text_and_exact_quotes(
    stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    quote = "a line\nand  the next"
    events = [started(), cited(2, 2, "later", page=None), cited(3, 1, quote), delta(4, "Grüße [1][2]")]
    stand_in.answers = [[*events, completed(5, "Grüße [1][2]")]]

    assert ask_it(as_json=True) == 0

    result = json.loads(capsys.readouterr().out)
    assert (result["status"], result["text"]) == ("COMPLETED", "Grüße [1][2]")
    assert [(one["marker"], one["page"], one["quote"]) for one in result["citations"]] == [
        (1, 3, quote),
        (2, None, "later"),
    ]
    assert (result["conversationId"], result["messageId"], result["answerId"]) == (
        "conversation-1",
        "message-1",
        "answer-1",
    )
    assert result["usage"]["totalMs"] == 800


def test_a_given_conversation_is_gone_on_with(stand_in: StandIn, ask_it: Asks) -> None:
    stand_in.answers = [plain_answer()]

    assert ask_it(conversation="conversation-9") == 0

    assert stand_in.called("startConversation") == []
    assert [one["conversationId"] for one in stand_in.called("sendMessage")] == ["conversation-9"]


def test_a_duplicate_is_no_error_the_document_that_is_there_is_used(
    stand_in: StandIn, ask_it: Asks, handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"id": "document-9", "name": "Our handbook"}
    duplicate = {"__typename": "DuplicateDocument", "code": "DUPLICATE", "message": "Known.", "document": there}
    stand_in.results["uploadDocument"] = [duplicate]
    stand_in.progress, stand_in.answers = [[READY]], [plain_answer()]

    assert ask_it(file=handbook) == 0

    assert stand_in.called("documentProgress") == [{"id": "document-9"}]
    out = capsys.readouterr().out
    assert "\nhandbook.pdf is among the documents already, as Our handbook: not kept twice\n" in out
    assert "Uploaded" not in out


@pytest.mark.parametrize("with_reason", [True, False])
def test_a_document_that_fails_ends_the_command_with_its_reason_and_asks_nothing(
    stand_in: StandIn, ask_it: Asks, handbook: Path, capsys: pytest.CaptureFixture[str], with_reason: bool
) -> None:
    reason = {"code": "ENCRYPTED", "message": "The PDF is encrypted.", "retryable": False}
    stand_in.progress = [[progress("PARSING"), progress("FAILED", failure=reason if with_reason else None)]]

    assert ask_it(file=handbook) == 1

    said = "could not be used: The PDF is encrypted (ENCRYPTED)." if with_reason else "is FAILED: it was not indexed."
    assert capsys.readouterr().err.startswith(f"colloquy: handbook.pdf {said}")
    assert stand_in.called("sendMessage") == []


def test_after_a_failure_that_may_pass_one_is_told_to_upload_the_document_again(
    stand_in: StandIn, ask_it: Asks, handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = {"code": "PROVIDER_UNAVAILABLE", "message": "The model is away.", "retryable": True}
    stand_in.progress = [[progress("FAILED", failure=reason)]]

    assert ask_it(file=handbook) == 1

    said = "could not be used: The model is away (PROVIDER_UNAVAILABLE). Upload it again.\n"
    assert capsys.readouterr().err == f"colloquy: handbook.pdf {said}"


def test_a_refused_upload_ends_the_command_with_the_servers_words(
    stand_in: StandIn, ask_it: Asks, handbook: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = {"__typename": "Refusal", "code": "UNSUPPORTED_TYPE", "message": "Only PDF and text."}
    stand_in.results["uploadDocument"] = [refusal]

    assert ask_it(file=handbook) == 1
    assert capsys.readouterr().err == "colloquy: handbook.pdf was not accepted: Only PDF and text (UNSUPPORTED_TYPE).\n"


def test_a_failed_answer_keeps_what_was_said_and_ends_with_code_and_message(
    stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    last = failed(3, "Half a ", "PROVIDER_UNAVAILABLE", "The provider is down.", retryable=True)
    stand_in.answers = [[started(), delta(2, "Half a "), last]]

    assert ask_it() == 1

    out, err = capsys.readouterr()
    assert out.endswith("\nHalf a \n")
    assert err == "colloquy: The answer failed: The provider is down (PROVIDER_UNAVAILABLE). Ask again in a moment.\n"


def test_a_stopped_answer_is_no_error(stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]) -> None:
    stand_in.answers = [[started(), delta(2, "Half a"), stopped(3, "Half a")]]

    assert ask_it() == 0
    assert "Half a\n\nThe answer was stopped" in capsys.readouterr().out


def test_where_a_person_answers_the_question_is_delivered_and_nothing_is_followed(
    stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.results["sendMessage"] = [{"__typename": "SendMessagePayload", "message": {"id": "m"}, "answer": None}]

    assert ask_it(as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "DELIVERED"


def test_steps_in_the_middle_of_the_text_get_a_line_of_their_own(
    stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.answers = [
        [started(), delta(2, "One"), step(3, "RETRYING", "model-b"), delta(4, " two"), completed(5, "One two")]
    ]

    assert ask_it() == 0
    assert "\nOne\nTrying again: model-b\n two\n" in capsys.readouterr().out


def test_control_characters_from_the_server_never_reach_the_terminal(
    stand_in: StandIn, ask_it: Asks, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "\x1b]0;owned\x07\x9b2Jtext\r"
    events = [started(), cited(2, 1, hostile, name=hostile), delta(3, hostile), completed(4, hostile)]
    stand_in.answers = [events, events]

    assert (ask_it(), ask_it(as_json=True)) == (0, 0)

    out = capsys.readouterr().out
    assert [one for one in out if (ord(one) < 0x20 and one != "\n") or 0x7F <= ord(one) < 0xA0] == []
    assert "]0;owned2Jtext" in out
    assert json.loads(out[out.index("{\n") :])["text"] == hostile


def test_a_terminal_gets_a_progress_bar_and_is_left_in_order(stand_in: StandIn, handbook: Path) -> None:
    stand_in.progress = [[progress("PARSING", 1, 8), progress("PARSING", 8, 8), READY]]
    stand_in.answers = [plain_answer()]
    ours, theirs = pty.openpty()
    options = ("--url", stand_in.url, "--email", "a@x.example", "--password", "right", "--file", str(handbook))
    process = command_process("What?", *options, stdout=theirs, TERM="xterm-256color")
    os.close(theirs)
    shown = b""
    try:
        while block := os.read(ours, 65536):
            shown += block
    except OSError:  # EIO: the other side has closed
        pass
    os.close(ours)
    _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (0, b"")
    text = shown.decode()
    assert "━" in text
    assert "Reading handbook.pdf, pages" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") > 0  # the cursor comes back as often as it is hidden
    assert "\r\nFifteen minutes [1].\r\n" in text


def interrupted(stand_in: StandIn, *, after: str = "Fif") -> subprocess.Popen[bytes]:
    """The command with Ctrl-C pressed once it has printed these words of its answer."""
    options = ("--url", stand_in.url, "--email", "a@x.example", "--password", "right")
    process = command_process("What?", *options)
    assert process.stdout is not None
    seen = b""
    while not seen.endswith(f"\n{after}".encode()):  # the words of an unfinished line are there before the line is
        block = os.read(process.stdout.fileno(), 4096)
        assert block, seen
        seen += block
    process.send_signal(signal.SIGINT)
    return process


def test_ctrl_c_stops_the_answer_and_shows_what_it_has_said(stand_in: StandIn) -> None:
    stand_in.answers = [[started(), delta(2, "Fif"), UntilCalled("stopAnswer"), stopped(3, "Fif")]]

    out, err = (process := interrupted(stand_in)).communicate(timeout=10)

    assert process.returncode == 0
    assert out.decode().startswith("\n\nThe answer was stopped; this is what it had said so far.\n")
    assert err.decode() == "Stopping the answer. Ctrl-C again leaves.\n"
    assert stand_in.called("stopAnswer") == [{"answerId": "answer-1"}]


def test_a_second_ctrl_c_leaves_with_130_and_one_line_and_unsubscribes(stand_in: StandIn) -> None:
    stand_in.answers = [[started(), delta(2, "Fif"), Hang()]]

    process = interrupted(stand_in)
    assert process.stderr is not None
    assert process.stderr.readline() == b"Stopping the answer. Ctrl-C again leaves.\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)

    assert (process.returncode, out) == (130, b"\n")
    expected = "Interrupted. The answer is being stopped: --conversation conversation-1."
    assert err.decode() == f"colloquy: {expected}\n"
    assert stand_in.left.wait(5)


def test_an_answer_that_cannot_be_stopped_is_followed_on(stand_in: StandIn) -> None:
    refusal = {"__typename": "NotFound", "code": "NOT_FOUND", "message": "There is no such answer."}
    stand_in.results["stopAnswer"] = [refusal]
    stand_in.answers = [[started(), delta(2, "Fif"), UntilCalled("stopAnswer"), delta(3, "teen"), Hang()]]

    process = interrupted(stand_in)
    assert process.stderr is not None
    told = [process.stderr.readline().decode() for _ in range(2)]
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 4) == b"teen"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)

    assert told[1] == "The answer could not be stopped: There is no such answer (NOT_FOUND).\n"
    assert (process.returncode, out) == (130, b"\n")
    assert b"The answer is being finished without you: --conversation conversation-1." in err


def test_a_reader_that_goes_away_ends_the_command_without_a_traceback(stand_in: StandIn) -> None:
    stand_in.answers = [plain_answer()]
    ours, theirs = os.pipe()
    os.close(ours)
    options = ("--url", stand_in.url, "--email", "a@x.example", "--password", "right")
    process = command_process("What?", *options, stdout=theirs)
    os.close(theirs)

    _, err = process.communicate(timeout=10)

    assert (process.returncode, err) == (1, b"")


def test_the_command_without_a_question_is_a_usage_error() -> None:
    process = command_process(stdout=subprocess.DEVNULL, NO_COLOR="1")
    _, err = process.communicate(timeout=10)

    assert process.returncode == 2
    assert b"question" in err.lower()
