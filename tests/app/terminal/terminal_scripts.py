"""Building blocks for the stand-in's scripts, and a way to run the command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parents[3] / "src"
USAGE = {"inputTokens": 90, "outputTokens": 12, "firstTokenMs": 120, "totalMs": 800, "cached": False}


def delta(sequence: int, text: str, first: int | None = None) -> dict[str, Any]:
    return _event("AnswerDelta", sequence, firstSequence=first or sequence, text=text)


def step(sequence: int, kind: str, detail: str | None = None) -> dict[str, Any]:
    return _event("AnswerStep", sequence, step=kind, detail=detail)


def cited(sequence: int, marker: int, quote: str, name: str = "handbook.pdf", page: int | None = 3) -> dict[str, Any]:
    citation = {"marker": marker, "documentName": name, "page": page, "quote": quote, "distance": 0.21}
    return _event("AnswerCitation", sequence, citation=citation)


def restarted(sequence: int, attempt: int, reason: str) -> dict[str, Any]:
    return _event("AnswerRestarted", sequence, attempt=attempt, reason=reason)


def started(sequence: int = 1) -> dict[str, Any]:
    return _event("AnswerStarted", sequence, answerId="answer-1", attempt=1)


def completed(sequence: int, stored: str) -> dict[str, Any]:
    return _event("AnswerCompleted", sequence, answer=_answer(stored))


def stopped(sequence: int, stored: str | None) -> dict[str, Any]:
    return _event("AnswerStopped", sequence, answer=_answer(stored))


def failed(sequence: int, stored: str | None, code: str, message: str, *, retryable: bool) -> dict[str, Any]:
    failure = {"code": code, "message": message, "retryable": retryable}
    return _event("AnswerFailed", sequence, failure=failure, answer=_answer(stored))


def progress(status: str, pages: int = 0, of: int | None = None, chunks: int = 0, **more: Any) -> dict[str, Any]:
    chunks_total = chunks if status == "READY" else None
    counts = {"pagesDone": pages, "pagesTotal": of, "chunksDone": chunks, "chunksTotal": chunks_total}
    return {"status": status, **counts, **more}


def plain_answer(text: str = "Fifteen minutes [1].") -> list[dict[str, Any]]:
    """A whole answer with one citation, its text in two deltas."""
    half = len(text) // 2
    events = [delta(4, text[:half]), delta(5, text[half:]), completed(6, text)]
    return [started(), step(2, "RETRIEVING"), cited(3, 1, "An access token lives 15 minutes."), *events]


def _answer(stored: str | None) -> dict[str, Any]:
    return {"model": "local", "usage": USAGE, "message": None if stored is None else {"text": stored}}


def _event(kind: str, sequence: int, **more: Any) -> dict[str, Any]:
    return {"__typename": kind, "sequence": sequence, "cursor": f"cursor-{sequence}", **more}


COMMAND = """
import typer
from app.terminal.command import ask_command
app = typer.Typer()
app.command("ask")(ask_command)
app()
"""


def command_process(*arguments: str, stdout: int = subprocess.PIPE, **environment: str) -> subprocess.Popen[bytes]:
    """`colloquy ask` in a process of its own; the caller waits for it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COLLOQUY_")}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        env={**kept, "PYTHONPATH": str(SOURCES), **environment},
    )
