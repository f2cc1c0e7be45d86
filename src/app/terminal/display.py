"""What `colloquy ask` shows: lines for a pipe or a transcript, a live view for a person's terminal, nothing for --json.

Whatever comes from the server (names, answers, quotes) is stripped of control characters first: a document must not be
able to drive the terminal of whoever asks about it.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, Final, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from app.terminal.events import Citation

_CONTROLS: Final = dict.fromkeys([*range(0x20), 0x7F, *range(0x80, 0xA0)]) | {0x09: "    ", 0x0A: "\n"}
QUOTE_WIDTH: Final = 100
"""Columns that a quote is wrapped to, at most."""

STEP_WORDS: Final = {
    "QUEUED": "Waiting for its turn",
    "RETRIEVING": "Searching the documents",
    "READING": "Reading the passages found",
    "THINKING": "Thinking",
    "RETRYING": "Trying again",
    "CONTEXT_CUT": "Leaving out the oldest part of the conversation",
    "NEAREST_PASSAGES": "Nothing answers this directly: the nearest passages follow",
}
"""What an `AnswerStep` of each kind says to a person."""


def clean(text: str) -> str:
    """The text without control characters; line ends stay, a tab becomes spaces."""
    return text.translate(_CONTROLS)


def one_line(text: str) -> str:
    """The text on one line: runs of white space become one space, as a PDF's line ends say nothing."""
    return " ".join(clean(text).split())


class Display:
    """Plain lines on `out`, one for each stage; the answer's words as they come; notes about trouble on `err`."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._last_stage = ""
        self._open_line = False
        """Whether the answer's text stands in the middle of a line."""

    def stage(self, line: str) -> None:
        """One line for one thing that has been done; a repetition is not shown."""
        if line == self._last_stage:
            return
        self._last_stage = line
        self._end_line()
        self._write_line(one_line(line))

    def busy(self, label: str, done: int, total: int | None) -> None:
        """How far something is. Nothing here: a transcript wants the outcome."""

    def idle(self) -> None:
        """Nothing is under way any more."""

    def answer_begins(self) -> None:
        self._write_line("")

    def words(self, text: str) -> None:
        text = clean(text)
        if text:
            self._write(text)
            self._open_line = not text.endswith("\n")

    def restarted(self, reason: str) -> None:
        """What was printed so far no longer holds; the answer is printed again from its beginning."""
        self._note_on_out(f"[The answer starts again: {one_line(reason)}]")

    def replaced(self, stored: str) -> None:
        """The stored message is not what was printed: print the stored one, which is the truth."""
        self._note_on_out("[The stored answer differs from what arrived. This is the stored one:]")
        self.words(stored)

    def sources(self, citations: Sequence[Citation]) -> None:
        self._end_line()
        if not citations:
            return
        self._write_line("")
        self._heading("Sources")
        for citation in sorted(citations, key=lambda one: one.marker):
            page = "" if citation.page is None else f", page {citation.page}"
            self._write_line(f"[{citation.marker}] {one_line(citation.document_name)}{page}")
            quote = f"“{one_line(citation.quote)}”"
            for line in textwrap.wrap(quote, self._width() - 4, break_long_words=False, break_on_hyphens=False):
                self._quote_line(f"    {line}")

    def closing(self, line: str) -> None:
        """The small print at the end."""
        self._end_line()
        self._write_line("")
        self._write_line(one_line(line))

    def note(self, line: str) -> None:
        """Trouble that the command copes with by itself."""
        self.idle()
        self._print_err(one_line(line))

    def error(self, line: str) -> None:
        """The one line that says why the command ends."""
        self.idle()
        self._end_line()
        self._print_err(f"colloquy: {one_line(line)}")

    def document(self, result: dict[str, Any]) -> None:
        """The whole result, for --json."""

    def _print_err(self, line: str) -> None:
        print(line, file=self._err, flush=True)

    def _note_on_out(self, line: str) -> None:
        self.idle()
        self._end_line()
        self._write_line(line)

    def _end_line(self) -> None:
        if self._open_line:
            self._open_line = False
            self._write_line("")

    def _width(self) -> int:
        return QUOTE_WIDTH

    def _heading(self, line: str) -> None:
        self._write_line(line)

    def _quote_line(self, line: str) -> None:
        self._write_line(line)

    def _write_line(self, line: str) -> None:
        self._write(f"{line}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()  # the words are to be seen as they arrive, also through a pipe


class TerminalDisplay(Display):
    """The same for a person: a progress bar while something is under way, quiet colours, quotes within the window."""

    def __init__(self, out: TextIO, err: TextIO) -> None:
        super().__init__(out, err)
        self._console = Console(file=out, force_terminal=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._label = ""

    def busy(self, label: str, done: int, total: int | None) -> None:
        label = one_line(label)
        if self._bar is None or self._task is None or label != self._label:
            self.idle()
            self._label = label
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeElapsedColumn(),
                console=self._console,
                transient=True,
            )
            self._task = self._bar.add_task(label, total=total)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def idle(self) -> None:
        if self._bar is not None:
            self._bar.stop()  # transient: it leaves the terminal as it was
            self._bar = None

    def stage(self, line: str) -> None:
        self.idle()
        super().stage(line)

    def answer_begins(self) -> None:
        self.idle()
        super().answer_begins()

    def note(self, line: str) -> None:
        # Both streams are one screen here: a note in mid-answer gets a line of its own.
        self._end_line()
        super().note(line)

    def _width(self) -> int:
        return max(40, min(QUOTE_WIDTH, self._console.width))

    def _heading(self, line: str) -> None:
        self._console.print(Text(line, style="bold"))

    def _quote_line(self, line: str) -> None:
        self._console.print(Text(line, style="dim"), soft_wrap=True)


class JsonDisplay(Display):
    """Nothing on `out` but one JSON document at the end; notes and errors on `err` as ever."""

    def _write(self, text: str) -> None:
        pass

    def document(self, result: dict[str, Any]) -> None:
        text = json.dumps(result, ensure_ascii=False, indent=2)
        # JSON lets DEL and the C1 controls stand as they are; a terminal would obey them.
        text = "".join(f"\\u{ord(one):04x}" if 0x7F <= ord(one) < 0xA0 else one for one in text)
        self._out.write(f"{text}\n")
        self._out.flush()


def display_for(*, as_json: bool) -> Display:
    """The display that fits this process's streams."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a terminal that cannot show a character gets a `?`, not a traceback
            reconfigure(errors="replace")
    if as_json:
        return JsonDisplay(sys.stdout, sys.stderr)
    lively = sys.stdout.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
    return TerminalDisplay(sys.stdout, sys.stderr) if lively else Display(sys.stdout, sys.stderr)


def size_words(byte_count: int) -> str:
    """A file's size for people: `20 KiB`."""
    if byte_count < 1024 * 1024:
        return f"{max(1, round(byte_count / 1024))} KiB"
    return f"{byte_count / (1024 * 1024):.1f} MiB"


def count_words(number: int, thing: str) -> str:
    """So many of a thing: `1 page`, `8 pages`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
