"""`make demo` hands a question over to the letter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The Makefile beside a program in the place of `colloquy` that prints what it was given."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    programs = {
        "scripts/bootstrap": "#!/bin/sh\n",
        ".venv/bin/colloquy": f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n",
    }
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "handbook.pdf").touch()
    return tmp_path


def make_demo(clone: Path, *arguments: str, **environment: str) -> list[str]:
    """What `colloquy` is given by `make demo` with these arguments."""
    # Nor what a make that runs these tests tells the ones below it: they would say which folder they enter.
    ours = ("QUESTION", "FILE", "ASK", "ARGS", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL")
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    done = subprocess.run(
        ["make", "demo", *arguments], cwd=clone, env=clean | environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)  # type: ignore[no-any-return]


QUESTIONS = [
    "Does it cost $20, or $$20?",
    "What does `id` mean?",
    """Is "this" or 'that' right?""",
    "What is $(shell echo no) or $(HOME) or ${HOME}?",
    "Is it #1, or a\\b?",
    "--help",
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_arrives_to_the_letter(clone: Path, question: str) -> None:
    expected = ["ask", "--file", "demo/handbook.pdf", "--", question]
    assert make_demo(clone, f"QUESTION={question}") == expected
    assert make_demo(clone, QUESTION=question) == expected


def test_a_file_s_name_arrives_to_the_letter_and_an_empty_one_means_none(clone: Path) -> None:
    name = """the "$1" `price` list.pdf"""
    assert make_demo(clone, f"FILE={name}")[:3] == ["ask", "--file", name]
    assert make_demo(clone, "FILE=", "QUESTION=How long?") == ["ask", "--", "How long?"]


def test_without_anything_the_usual_question_is_asked_of_the_demo_s_document(clone: Path) -> None:
    given = make_demo(clone)
    assert given[:4] == ["ask", "--file", "demo/handbook.pdf", "--"]
    assert given[4].endswith("?")


def test_all_of_it_may_be_given_as_a_shell_has_it(clone: Path) -> None:
    assert make_demo(clone, """ASK="How long?" --json""") == ["ask", "How long?", "--json"]
