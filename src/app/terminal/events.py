"""The answer stream and the records around it, as typed values. Readers raise KeyError, TypeError or ValueError on
anything that is not the contract; the client turns that into one clear failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

TerminalStatus = Literal["COMPLETED", "STOPPED", "FAILED"]
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document that the server keeps; `was_there` when it kept the same bytes before this upload."""

    id: str
    name: str
    was_there: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a document stands. `pages_total` is None until the file is opened, `chunks_total` until it is cut."""

    status: str
    pages_done: int
    pages_total: int | None
    chunks_done: int
    chunks_total: int | None
    failure: Failure | None

    @property
    def finished(self) -> bool:
        return self.status in ("READY", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Citation:
    """`marker` is the n of the text's [n]; `quote` is exact; `distance` is the cosine distance to the question."""

    marker: int
    document_name: str
    page: int | None
    quote: str
    distance: float


@dataclass(frozen=True, slots=True)
class Usage:
    """Times in milliseconds from the question to the first word and to the end."""

    input_tokens: int
    output_tokens: int
    first_token_ms: int | None
    total_ms: int
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`sequence` counts from 1 within an attempt; `cursor` is what to reconnect with."""

    sequence: int
    cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    kind: str
    detail: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta(Event):
    first_sequence: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited(Event):
    citation: Citation


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted(Event):
    """Forget the text and the citations so far."""

    attempt: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """The last event. `stored_text` is the message as the server keeps it, None where nothing was said."""

    status: TerminalStatus
    stored_text: str | None
    model: str | None
    usage: Usage | None
    failure: Failure | None


def read_failure(data: Json | None) -> Failure | None:
    return None if data is None else Failure(data["code"], data["message"], bool(data["retryable"]))


def read_progress(data: Json) -> Progress:
    return Progress(
        status=data["status"],
        pages_done=data["pagesDone"],
        pages_total=data["pagesTotal"],
        chunks_done=data["chunksDone"],
        chunks_total=data["chunksTotal"],
        failure=read_failure(data["failure"]),
    )


def _read_usage(data: Json | None) -> Usage | None:
    if data is None:
        return None
    return Usage(
        input_tokens=data["inputTokens"],
        output_tokens=data["outputTokens"],
        first_token_ms=data["firstTokenMs"],
        total_ms=data["totalMs"],
        cached=data["cached"],
    )


_TERMINAL: Mapping[str, TerminalStatus] = {
    "AnswerCompleted": "COMPLETED",
    "AnswerStopped": "STOPPED",
    "AnswerFailed": "FAILED",
}


def read_event(data: Json) -> Event:
    """One `AnswerEvent`. A member that this client does not know keeps its place in the sequence and says nothing."""
    name, sequence, cursor = data["__typename"], data.get("sequence"), data.get("cursor")
    if not isinstance(sequence, int) or not isinstance(cursor, str):
        raise ValueError(f"{name} without sequence or cursor")
    match name:
        case "AnswerStarted":
            return Started(sequence=sequence, cursor=cursor, attempt=data["attempt"])
        case "AnswerStep":
            return Step(sequence=sequence, cursor=cursor, kind=data["step"], detail=data["detail"])
        case "AnswerDelta":
            return Delta(sequence=sequence, cursor=cursor, first_sequence=data["firstSequence"], text=str(data["text"]))
        case "AnswerCitation":
            found = data["citation"]
            citation = Citation(
                found["marker"], found["documentName"], found["page"], found["quote"], found["distance"]
            )
            return Cited(sequence=sequence, cursor=cursor, citation=citation)
        case "AnswerRestarted":
            return Restarted(sequence=sequence, cursor=cursor, attempt=data["attempt"], reason=data["reason"])
        case "AnswerCompleted" | "AnswerStopped" | "AnswerFailed":
            answer = data["answer"]
            message = answer["message"]
            return Finished(
                sequence=sequence,
                cursor=cursor,
                status=_TERMINAL[name],
                stored_text=None if message is None else message["text"],
                model=answer["model"],
                usage=_read_usage(answer["usage"]),
                failure=read_failure(data.get("failure")),
            )
        case _:
            return Event(sequence=sequence, cursor=cursor)


def camel(record: Citation | Usage | Failure) -> dict[str, Any]:
    """A record under the contract's names: `document_name` becomes `documentName`."""
    return {re.sub("_(.)", lambda found: found[1].upper(), name): value for name, value in asdict(record).items()}
