"""A finished answer as events, for whoever comes when its log is gone."""

from __future__ import annotations

from uuid import UUID

from core.errors import ErrorCode
from core.ids import TenantId
from datastores import answers
from datastores.answer_events import Body, Cited, Completed, Delta, Failed, LogEvent, Restarted, Stopped
from datastores.models import AnswerStatus
from datastores.postgres import Postgres
from datastores.records import AnswerRecord
from datastores.transactions import Reads
from loaders.chat import CitationsByAnswer

PIECE_CHARS = 16_384
"""Of the stored text in one delta: a viewer that reads slowly holds one piece at a time, whatever the text's length."""
_STORED = "The answer has finished; this is what was stored."


async def read_snapshot(
    postgres: Postgres, tenant_id: TenantId, answer_id: UUID, generation: str | None, sequence: int
) -> tuple[list[LogEvent], bool]:
    """Events of the stored answer after a place, and whether there are more; none while it is unfinished.

    They are a generation of their own, the same whenever they are read, so that a cursor among them stays good.
    """
    async with postgres.read(tenant_id) as tx:
        answer = await answers.answer_by_id(tx, answer_id)
        if answer is None:
            gone = Failed(answer_id, ErrorCode.NOT_FOUND, "The answer was deleted.", False)
            return [LogEvent("gone", 1, gone, 1)], False
        if answer.status in answers.UNFINISHED:
            return [], False
        own = f"final{answer.epoch}"
        return await _part(tx, answer, own, sequence if generation == own else 0)


async def _part(tx: Reads, answer: AnswerRecord, generation: str, seen: int) -> tuple[list[LogEvent], bool]:
    """As far as the next piece of the text: 1 is the restart, then come citations, pieces, and the terminal event."""
    citations = (await CitationsByAnswer(tx).load_many([answer.id]))[0]
    heads: list[Body] = [Restarted(answer.epoch, _STORED)]
    heads += [
        Cited(c.marker, c.chunk_id, c.document_id, c.document_name, c.page, c.quote, c.distance, c.start, c.end)
        for c in citations
    ]
    number = max(0, seen - len(heads))  # of the piece to come, from 0
    chars, piece = await answers.message_piece(tx, answer.id, number * PIECE_CHARS, PIECE_CHARS)
    pieces = -(-chars // PIECE_CHARS)
    if seen > len(heads) + pieces:
        # After the end, or no place of this answer. A stream ends in data: it begins again.
        return await _part(tx, answer, generation, 0)
    bodies = heads[seen:]
    if piece:
        bodies.append(Delta(piece))
    more = number + 1 < pieces
    if not more:
        bodies.append(_terminal(answer))
    return [_event(generation, at, body) for at, body in enumerate(bodies, start=seen + 1)], more


def _event(generation: str, sequence: int, body: Body) -> LogEvent:
    size = len(body.text.encode()) if isinstance(body, Delta) else 0
    return LogEvent(generation, sequence, body, sequence, size)


def _terminal(answer: AnswerRecord) -> Body:
    if answer.status is AnswerStatus.COMPLETED:
        return Completed(answer.id)
    if answer.status is AnswerStatus.STOPPED:
        return Stopped(answer.id)
    return Failed(
        answer.id,
        answer.failure_code or ErrorCode.INTERNAL,
        answer.failure_message or "The answer failed.",
        bool(answer.failure_retryable),
    )
