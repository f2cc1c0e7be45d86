"""What the terminal shows while the product starts and runs; plain lines where it is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.text import Text

_SLOW = 2.0  # seconds after which a step speaks even where there is no terminal
_FRAME = 0.1  # seconds between two frames of the spinner
_REPEAT = 10.0  # seconds between two plain lines of one step


class Display:
    """Progress and messages. No method raises when the terminal is gone: the run must still end in order.

    It draws in the caller's thread, in `tick`: a thread of its own would run beside fork.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._out = console or Console(highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._title = ""
        self._detail = ""
        self._began = 0.0
        self._spoke = 0.0

    @contextmanager
    def step(self, title: str, done: str | None = None) -> Iterator[None]:
        """Show a step until the block ends, then it, or `done`, with how long it took. Not nested."""
        self._title, self._detail = title, ""
        self._began = time.monotonic()
        self._spoke = self._began - _REPEAT + _SLOW
        if self._out.is_terminal:
            self._spinner = Spinner("dots", text=Text(title))
            with suppress(OSError):
                self._live = Live(self._spinner, console=self._out, auto_refresh=False, transient=True)
                self._live.start(refresh=True)
        try:
            yield
        except BaseException:
            self._end_live()
            raise
        self._end_live()
        self._print(f"[green]✓[/green] {escape(done or title)} [dim]{time.monotonic() - self._began:.1f} s[/dim]")

    def progress(self, detail: str, done: int | None = None, total: int | None = None) -> None:
        """What the running step is at, for example "handbook.pdf", 2 of 3."""
        self._detail = f"{detail} ({done} of {total})" if done is not None and total is not None else detail
        self.tick()

    def tick(self) -> None:
        """Draw, if it is time to. Call often while waiting."""
        now = time.monotonic()
        if self._live is not None:
            if now - self._spoke >= _FRAME:
                self._spoke = now
                text = f"{escape(self._title)} [dim]{escape(self._detail)} {now - self._began:.0f} s[/dim]"
                self._spinner.update(text=Text.from_markup(text))
                with suppress(OSError):
                    self._live.refresh()
        elif self._title and now - self._spoke >= _REPEAT:
            self._spoke = now
            detail = f": {self._detail}" if self._detail else ""
            self._print(escape(f"… {self._title}{detail} ({now - self._began:.0f} s)"))

    def say(self, text: str) -> None:
        """A line for the person."""
        self._print(escape(text))

    def warn(self, text: str) -> None:
        """Something went wrong that the run goes on after."""
        self._print(f"[yellow]![/yellow] {escape(text)}")

    def fail(self, text: str) -> None:
        """Why the run ends."""
        self._print(f"[red]✗[/red] {escape(text)}")

    def banner(self, rows: list[tuple[str, str]]) -> None:
        """Labels and values in two columns, between empty lines."""
        width = max(len(label) for label, _ in rows)
        self._print("")
        for label, value in rows:
            self._print(f"  [bold]{escape(label.ljust(width))}[/bold]  {escape(value)}")
        self._print("")

    def _print(self, markup: str) -> None:
        # rich turns a broken pipe into SystemExit, and a closed terminal raises OSError.
        with suppress(OSError, SystemExit):
            self._out.print(markup)
            self._out.file.flush()

    def _end_live(self) -> None:
        live, self._live = self._live, None
        self._title = ""
        if live is not None:
            with suppress(OSError, SystemExit):
                live.stop()
