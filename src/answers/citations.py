"""The filter between provider and log: markers become citations, those without a source vanish.

It holds back at most eight characters from a `[` (and the space before it), so that no half marker ever goes out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from answers.quotes import best_quote, claim_before
from answers.sources import Source
from datastores.answer_events import Cited, Delta

HOLD = 8
"""Length of the longest marker that is recognised, such as `[12, 34]`."""
_MARKER = re.compile(r"\[\s*\d{1,4}(?:\s*,\s*\d{1,4})*\s*\]")
_MAYBE_MARKER = re.compile(r"\[[\s\d,]*\Z")
_NUMBER = re.compile(r"\d+")


class CitationFilter:
    """Feed it the provider's text; it gives the events to append. Sources are cited by their place, from 1."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._markers: dict[int, int] = {}
        self._pending = ""
        self._sent: list[str] = []
        self.citations: list[Cited] = []

    @property
    def text(self) -> str:
        """All text that has gone out: the stored message."""
        return "".join(self._sent)

    def feed(self, text: str) -> list[Cited | Delta]:
        """Events for a piece of the provider's text: each citation before the delta that shows its marker."""
        if text and not self._pending and "[" not in text and text[-1] != " ":
            # Nearly every token: nothing in it can be, or precede, a marker.
            self._sent.append(text)
            return [Delta(text)]
        self._pending += text
        return self._drain(final=False)

    def finish(self) -> list[Cited | Delta]:
        """Events for what is still held back."""
        return self._drain(final=True)

    def go_on_from(self, said: Sequence[Cited | Delta]) -> None:
        """Take over what another attempt has said: it counts as gone out."""
        for event in said:
            if isinstance(event, Cited):
                self.citations.append(event)
            else:
                self._sent.append(event.text)

    def _drain(self, *, final: bool) -> list[Cited | Delta]:
        # By places and not by cutting, so that a megabyte of brackets costs no more than a megabyte of words.
        pending, at = self._pending, 0
        events: list[Cited | Delta] = []
        out: list[str] = []
        while at < len(pending):
            bracket = pending.find("[", at)
            if bracket < 0:
                # A space may stand before a marker that has to vanish together with it.
                end = len(pending) if final or pending[-1] != " " else len(pending) - 1
                out.append(pending[at:end])
                at = end
                break
            start = bracket - 1 if bracket > at and pending[bracket - 1] == " " else bracket
            out.append(pending[at:start])
            at = start
            marker = _MARKER.match(pending, bracket, bracket + HOLD)
            if marker is not None:
                self._cite(_NUMBER.findall(marker[0]), pending[start:bracket], out, events)
                at = marker.end()
            elif not final and len(pending) - bracket < HOLD and _MAYBE_MARKER.match(pending, bracket):
                break
            else:
                out.append(pending[at : bracket + 1])
                at = bracket + 1
        self._pending = pending[at:]
        self._close(out, events)
        return events

    def _cite(self, numbers: list[str], space: str, out: list[str], events: list[Cited | Delta]) -> None:
        known = [int(number) for number in numbers if 1 <= int(number) <= len(self._sources)]
        for number in known:
            if number not in self._markers:
                # The citation goes between the claim and its marker.
                self._close(out, events)
                events.append(self._citation(number))
        if known:
            out.append(space + "".join(f"[{self._markers[number]}]" for number in known))

    def _citation(self, number: int) -> Cited:
        chunks = self._sources[number - 1].chunks
        # The one that is cited is the one that says it: its place is where a reader is taken.
        place, quote = best_quote([chunk.text for chunk in chunks], claim_before(self.text))
        cited_chunk = chunks[place]
        start = cited_chunk.start + cited_chunk.text.index(quote)
        marker = self._markers[number] = len(self._markers) + 1
        cited = Cited(
            marker=marker,
            chunk_id=cited_chunk.chunk_id,
            document_id=cited_chunk.document_id,
            document_name=cited_chunk.document_name,
            page=cited_chunk.page,
            quote=quote,
            start=start,
            end=start + len(quote),
            distance=cited_chunk.distance,
        )
        self.citations.append(cited)
        return cited

    def _close(self, out: list[str], events: list[Cited | Delta]) -> None:
        """Make a delta of what has been gathered, if it is any text."""
        if text := "".join(out):
            self._sent.append(text)
            events.append(Delta(text))
        out.clear()
