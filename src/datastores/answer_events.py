"""The events of an answer, their form in the log, and their cursors."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from core.errors import ErrorCode
from core.ids import InvalidIdError
from datastores.records import values_of


class AnswerStepKind(enum.Enum):
    """What the machine is doing before and between words."""

    QUEUED = "QUEUED"
    RETRIEVING = "RETRIEVING"
    READING = "READING"
    THINKING = "THINKING"
    RETRYING = "RETRYING"
    CONTEXT_CUT = "CONTEXT_CUT"
    NEAREST_PASSAGES = "NEAREST_PASSAGES"


@dataclass(slots=True)
class Started:
    """Attempt number `attempt` has begun. Only a first attempt opens with it."""

    answer_id: UUID
    attempt: int


@dataclass(slots=True)
class Step:
    """Progress that a person may be shown."""

    step: AnswerStepKind
    detail: str | None = None


@dataclass(slots=True)
class Delta:
    """Text to append. Merged for a slow viewer, it covers several sequences."""

    text: str


@dataclass(slots=True)
class Cited:
    """The source of the marker `[marker]`, ahead of the delta that shows it."""

    marker: int
    chunk_id: UUID | None
    document_id: UUID | None
    document_name: str
    page: int | None
    quote: str
    distance: float
    start: int | None = None
    """Where the quote begins in its page's text, in code points; None where it was not written down."""
    end: int | None = None


@dataclass(slots=True)
class Restarted:
    """Forget the text and citations so far: another attempt, or a snapshot, begins."""

    attempt: int
    reason: str


@dataclass(slots=True)
class Completed:
    """Terminal: the message is stored."""

    answer_id: UUID


@dataclass(slots=True)
class Stopped:
    """Terminal: a person stopped it; what was said is stored."""

    answer_id: UUID


@dataclass(slots=True)
class Failed:
    """Terminal: what went wrong, in words for the client."""

    answer_id: UUID
    code: ErrorCode
    message: str
    retryable: bool


Body = Started | Step | Delta | Cited | Restarted | Completed | Stopped | Failed
TERMINAL = (Completed, Stopped, Failed)
_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind for kind in (Started, Step, Delta, Cited, Restarted, Completed, Stopped, Failed)
}
_UUID_FIELDS = ("answer_id", "chunk_id", "document_id")


@dataclass(slots=True)
class LogEvent:
    """One event at its place: `first_sequence` differs from `sequence` only for merged deltas."""

    generation: str
    sequence: int
    body: Body
    first_sequence: int
    size: int = field(default=0, compare=False)
    """Bytes that it takes in the log; 0 where it was not read from there."""

    @property
    def terminal(self) -> bool:
        """Whether nothing follows."""
        return isinstance(self.body, TERMINAL)


def encode_event(generation: str, sequence: int, body: Body) -> bytes:
    """The event as it stands in the log and on the live channel."""
    if type(body) is Delta:
        # Nearly every event.
        return orjson.dumps({"g": generation, "s": sequence, "t": "Delta", "text": body.text})
    return orjson.dumps(
        {"g": generation, "s": sequence, "t": type(body).__name__, **values_of(body)},
        default=_plain,
    )


def _plain(value: object) -> str:
    """Enums by their value; asyncpg's UUIDs, which orjson does not take for UUIDs, by their text."""
    return str(value.value if isinstance(value, enum.Enum) else value)


def decode_event(data: bytes) -> LogEvent:
    """The inverse of `encode_event`. Raises ValueError on anything else."""
    try:
        return _decode(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an event: {error}") from None


def _decode(data: bytes) -> LogEvent:
    fields = orjson.loads(data)
    generation, sequence, kind = fields.pop("g"), fields.pop("s"), fields.pop("t")
    if kind == "Delta":
        # Nearly every event is one, and has none of what is looked for below.
        return LogEvent(generation, sequence, Delta(**fields), sequence, len(data))
    for name in _UUID_FIELDS:
        if fields.get(name) is not None:
            fields[name] = UUID(fields[name])
    if kind == "Step":
        fields["step"] = AnswerStepKind(fields["step"])
    elif kind == "Failed":
        fields["code"] = ErrorCode(fields["code"])
    return LogEvent(generation, sequence, _KINDS[kind](**fields), sequence, len(data))


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in an answer's stream: after event `sequence` of a log generation."""

    answer_id: UUID
    generation: str
    sequence: int


def encode_cursor(answer_id: UUID, generation: str, sequence: int) -> str:
    """The cursor as clients see it."""
    return f"{answer_id.hex}.{generation}.{sequence}"


def decode_cursor(text: str) -> Cursor:
    """The place that a cursor names. Raises `InvalidIdError` when it is not one of ours."""
    parts = text.split(".")
    try:
        answer, generation, sequence = parts
        if len(answer) != 32 or not generation.isalnum() or len(generation) > 32 or not _is_count(sequence):
            raise ValueError(text)
        return Cursor(UUID(hex=answer), generation, int(sequence))
    except ValueError:
        raise InvalidIdError("`after` is not a cursor of an answer.") from None


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def merge_deltas(events: Iterable[LogEvent]) -> list[LogEvent]:
    """Join runs of neighbouring deltas; the texts of a run are joined once (pairwise would be quadratic)."""
    merged: list[LogEvent] = []
    run: list[LogEvent] = []

    def close_run() -> None:
        if len(run) == 1:
            merged.append(run[0])
        elif run:
            last = run[-1]
            text = "".join(event.body.text for event in run if isinstance(event.body, Delta))
            size = sum(event.size for event in run)
            merged.append(LogEvent(last.generation, last.sequence, Delta(text), run[0].first_sequence, size))
        run.clear()

    for event in events:
        if not isinstance(event.body, Delta) or (run and run[-1].generation != event.generation):
            close_run()
        if isinstance(event.body, Delta):
            run.append(event)
        else:
            merged.append(event)
    close_run()
    return merged
