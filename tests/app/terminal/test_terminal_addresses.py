"""Where `colloquy ask` finds the server and the log-in, and what it says when it does not."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from terminal_scripts import plain_answer
from terminal_stand_in import Fault, StandIn

Asks = Callable[..., int]
Captured = pytest.CaptureFixture[str]


def test_nothing_listening_says_how_to_start_it(ask_it: Asks, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    assert ask_it(url=f"127.0.0.1:{port}") == 1
    assert capsys.readouterr().err == f"colloquy: nothing answers at http://127.0.0.1:{port} - start it with make run\n"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(status=404), "There is no GraphQL API at"),
        (Fault(status=200, body="<html>hello</html>"), "does not speak Colloquy's GraphQL. Check --url."),
        (Fault(status=200, body='{"data": {"signIn": {}}}'), "answered something unexpected (KeyError: 'session')"),
        (Fault(status=200, body="[]"), "does not speak Colloquy's GraphQL"),
        (Fault(status=503), "answered HTTP 503: the server behind it is not ready. Try again in a moment."),
        (Fault(status=308, location="https://x.example/graphql"), "redirects to https://x.example/graphql. Give that"),
        (Fault(status=500), "answered HTTP 500 without a GraphQL result"),
        (Fault(), "broke off."),
    ],
)
def test_another_kind_of_server_is_named_in_one_line(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, fault: Fault, said: str
) -> None:
    stand_in.faults["signIn"] = [fault]

    assert ask_it() == 1

    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("colloquy: ")
    assert said in line


def test_wrong_credentials_say_which_and_nothing_is_sent(stand_in: StandIn, ask_it: Asks, capsys: Captured) -> None:
    assert ask_it(password="wrong") == 1

    err = capsys.readouterr().err
    assert err.startswith("colloquy: The server refused your e-mail and password (ada@x.example).")
    assert [name for name, _ in stand_in.calls] == ["signIn"]


def test_a_local_server_is_asked_with_the_demo_log_in(stand_in: StandIn, ask_it: Asks, tmp_path: Path) -> None:
    log_ins = [
        {"role": "USER", "email": "user@demo.example", "password": "right"},
        {"role": "BUSINESS", "email": "business@demo.example", "password": "right"},
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.json").write_text(json.dumps({"logins": log_ins}))
    stand_in.answers = [plain_answer()]

    assert ask_it(email=None, password=None) == 0
    assert stand_in.called("signIn") == [{"email": "business@demo.example", "password": "right"}]


def test_the_environment_names_server_and_person(
    stand_in: StandIn, ask_it: Asks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLLOQUY_URL", f"{stand_in.url}/graphql/")
    monkeypatch.setenv("COLLOQUY_EMAIL", "env@x.example")
    monkeypatch.setenv("COLLOQUY_PASSWORD", "right")
    stand_in.answers = [plain_answer()]

    assert ask_it(url=None, email=None, password=None) == 0
    assert stand_in.called("signIn") == [{"email": "env@x.example", "password": "right"}]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"question": " \n"}, "The question is empty."),
        ({"question": "\udcff"}, "not valid text"),
        ({"file": Path("/nowhere/doc.pdf")}, "--file: there is no file /nowhere/doc.pdf."),
        ({"url": "ftp://x.example"}, "is not an http:// or https:// address"),
        ({"url": "http://:80"}, "is not an http:// or https:// address"),
        ({"url": "http://x.example:99999"}, "is not an http:// or https:// address"),
        ({"password": None}, "--password (or COLLOQUY_PASSWORD) is missing"),
        ({"email": None}, "--email (or COLLOQUY_EMAIL) is missing"),
        ({"email": None, "password": None}, "no demo log-in at"),
        ({"email": None, "password": None, "url": "https://x.example"}, "No log-in for https://x.example/graphql."),
    ],
)
def test_wrong_usage_is_one_line_and_2_and_sends_nothing(
    stand_in: StandIn, ask_it: Asks, capsys: Captured, wrong: dict[str, object], said: str
) -> None:
    assert ask_it(**wrong) == 2

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert stand_in.calls == []


@pytest.mark.parametrize("content", ["{", "[]", '{"logins": []}', '{"logins": [{"role": "USER"}]}', "\x00"])
def test_a_damaged_demo_log_in_says_what_to_do(ask_it: Asks, tmp_path: Path, capsys: Captured, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "demo.json").write_text(content)

    assert ask_it(email=None, password=None) == 2
    assert "is damaged. Start the product with make run, or give --email and --password." in capsys.readouterr().err


def test_a_wrong_environment_variable_is_named(ask_it: Asks, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("PORT", "eighty")

    assert ask_it(url=None) == 2
    assert capsys.readouterr().err.startswith("colloquy: The environment variable PORT is wrong: ")
