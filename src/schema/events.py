"""The events of an answer as clients see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

import strawberry

from core.ids import NodeKind, to_global
from datastores import answer_events as log
from datastores.records import CitationRecord
from schema.enums import AnswerStepKind
from schema.interfaces import StreamEvent
from schema.records import relation
from schema.types.chat import Answer, Citation
from schema.types.failure import Failure


@strawberry.type(description="Work on the answer has begun.")
class AnswerStarted(StreamEvent):
    sequence: int
    cursor: str
    answer_id: strawberry.ID
    attempt: int


@strawberry.type(description="Progress that may be shown.")
class AnswerStep(StreamEvent):
    sequence: int
    cursor: str
    step: AnswerStepKind
    detail: str | None


@strawberry.type(
    description="Text to append. Merged for a slow viewer, it covers firstSequence to sequence; else they are equal."
)
class AnswerDelta(StreamEvent):
    first_sequence: int
    sequence: int
    cursor: str
    text: str


@strawberry.type(description="A citation; it comes before the text that shows its marker.")
class AnswerCitation(StreamEvent):
    sequence: int
    cursor: str
    citation: Citation


@strawberry.type(description="Forget the text and the citations received so far: a new attempt, or a snapshot, begins.")
class AnswerRestarted(StreamEvent):
    sequence: int
    cursor: str
    attempt: int
    reason: str


@strawberry.type(description="The last event: the answer is complete and stored.")
class AnswerCompleted(StreamEvent):
    sequence: int
    cursor: str
    stored_id: strawberry.Private[UUID]
    answer: Answer = relation("answers", "stored_id")


@strawberry.type(description="The last event: a person stopped the answer; what was said is stored.")
class AnswerStopped(StreamEvent):
    sequence: int
    cursor: str
    stored_id: strawberry.Private[UUID]
    answer: Answer = relation("answers", "stored_id")


@strawberry.type(description="The last event: the answer failed; what was said is stored.")
class AnswerFailed(StreamEvent):
    sequence: int
    cursor: str
    failure: Failure
    stored_id: strawberry.Private[UUID]
    answer: Answer = relation("answers", "stored_id")


AnswerEvent = Annotated[
    AnswerStarted
    | AnswerStep
    | AnswerDelta
    | AnswerCitation
    | AnswerRestarted
    | AnswerCompleted
    | AnswerStopped
    | AnswerFailed,
    strawberry.union("AnswerEvent"),
]

_Make = Callable[[UUID, log.LogEvent, str, Any], Any]
_MAKERS: dict[type[Any], _Make] = {
    log.Started: lambda answer_id, event, cursor, body: AnswerStarted(
        sequence=event.sequence,
        cursor=cursor,
        answer_id=strawberry.ID(to_global(NodeKind.ANSWER, answer_id)),
        attempt=body.attempt,
    ),
    log.Step: lambda _, event, cursor, body: AnswerStep(
        sequence=event.sequence, cursor=cursor, step=body.step, detail=body.detail
    ),
    log.Delta: lambda _, event, cursor, body: AnswerDelta(
        first_sequence=event.first_sequence, sequence=event.sequence, cursor=cursor, text=body.text
    ),
    log.Cited: lambda answer_id, event, cursor, body: AnswerCitation(
        sequence=event.sequence, cursor=cursor, citation=_citation(answer_id, body)
    ),
    log.Restarted: lambda _, event, cursor, body: AnswerRestarted(
        sequence=event.sequence, cursor=cursor, attempt=body.attempt, reason=body.reason
    ),
    log.Completed: lambda answer_id, event, cursor, _: AnswerCompleted(
        sequence=event.sequence, cursor=cursor, stored_id=answer_id
    ),
    log.Stopped: lambda answer_id, event, cursor, _: AnswerStopped(
        sequence=event.sequence, cursor=cursor, stored_id=answer_id
    ),
    log.Failed: lambda answer_id, event, cursor, body: AnswerFailed(
        sequence=event.sequence,
        cursor=cursor,
        stored_id=answer_id,
        failure=Failure(code=body.code, message=body.message, retryable=body.retryable),
    ),
}


def as_answer_event(answer_id: UUID, event: log.LogEvent) -> Any:
    """The GraphQL event for a logged one."""
    cursor = log.encode_cursor(answer_id, event.generation, event.sequence)
    return _MAKERS[type(event.body)](answer_id, event, cursor, event.body)


def _citation(answer_id: UUID, body: log.Cited) -> Any:
    return CitationRecord(
        answer_id,
        body.marker,
        body.chunk_id,
        body.document_id,
        body.document_name,
        body.page,
        body.quote,
        body.distance,
        body.start,
        body.end,
    )
