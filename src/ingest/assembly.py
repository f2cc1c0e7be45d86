"""Building a cleaned text together with the map back to the text it was made from."""

from __future__ import annotations

import re

from ingest.pages import Run

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")

_TYPOGRAPHY: dict[str, str] = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
    "\u00ad": "",
    "\u00a0": " ",
    "\u202f": " ",
    "\t": " ",
}
_TYPESET = re.compile(
    "[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\xa0\u00ad\u202f\ufb00-\ufb06\ufeff\ufffe\uffff\ud800-\udfff]|(?<= ) +"
)


class Assembly:
    """Grows a cleaned text from left to right and remembers which parts of it are copies of the original."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._length = 0
        self._original_length = 0
        self._runs: list[list[int]] = []

    @property
    def text(self) -> str:
        return "".join(self._parts)

    @property
    def source_map(self) -> list[Run]:
        return [(start, end, original) for start, end, original in self._runs]

    def copy(self, text: str) -> None:
        """Append what stands in the original as it is."""
        self.replace(text, text)

    def replace(self, original: str, cleaned: str) -> None:
        """Append `cleaned` for `original`. Of equal length, the two correspond character by character."""
        if cleaned and len(original) == len(cleaned):
            last = self._runs[-1] if self._runs else None
            if last and last[1] == self._length and last[2] + last[1] - last[0] == self._original_length:
                last[1] += len(cleaned)
            else:
                self._runs.append([self._length, self._length + len(cleaned), self._original_length])
        if cleaned:
            self._parts.append(cleaned)
        self._length += len(cleaned)
        self._original_length += len(original)

    def withdraw(self, ending: str) -> None:
        """Take back `ending`, which was the last to be appended and unchanged."""
        last = self._parts[-1]
        assert last.endswith(ending)
        self._parts[-1] = last[: -len(ending)]
        self._length -= len(ending)
        self._original_length -= len(ending)
        self._runs[-1][1] -= len(ending)
        if self._runs[-1][0] == self._runs[-1][1]:
            self._runs.pop()

    def clean(self, text: str) -> None:
        """Append written text: control characters go, lone surrogates become U+FFFD, everything else is exact."""
        self._substitute(_CONTROL, text)

    def clean_typeset(self, text: str) -> None:
        """Append a line that was set in type: also ligatures are written out, and every gap is one space."""
        self._substitute(_TYPESET, text)

    def _substitute(self, special: re.Pattern[str], text: str) -> None:
        at = 0
        for match in special.finditer(text):
            if match.start() > at:
                self.copy(text[at : match.start()])
            found = match.group()
            self.replace(found, _replacement(found) if special is _CONTROL else _typeset_replacement(found))
            at = match.end()
        if at < len(text):
            self.copy(text[at:])


def _replacement(character: str) -> str:
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    # Line ends of other worlds: vertical tab, form feed, next line. PostgreSQL refuses NUL; the other controls, byte
    # order marks and non-characters show nothing.
    return "\n" if character in "\x0b\x0c\x85" else ""


def _typeset_replacement(found: str) -> str:
    if found[0] == " ":
        return ""
    replacement = _TYPOGRAPHY.get(found)
    return _replacement(found).replace("\n", " ") if replacement is None else replacement
