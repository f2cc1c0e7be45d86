"""Answers: reading them, how one ends, and what it cites. Whose turn it is: see `answer_turns`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from core.errors import ErrorCode
from core.ids import TenantId, new_id
from datastores.answer_events import Cited, Failed
from datastores.answer_selection import select_answer, selected_has_text
from datastores.conversations import note_change, take_place
from datastores.knowledge import existing_chunks
from datastores.models import (
    Answer,
    AnswerAttempt,
    AnswerStatus,
    Citation,
    Conversation,
    Message,
    MessageRole,
)
from datastores.records import AnswerRecord, select_record, table
from datastores.transactions import Reads, WriteTransaction

_answers, _messages, _conversations = table(Answer), table(Message), table(Conversation)
_attempts, _citations = table(AnswerAttempt), table(Citation)
UNFINISHED = (AnswerStatus.PENDING, AnswerStatus.STREAMING)

_TENANT: sa.BindParameter[Any] = sa.bindparam("of_tenant")
_OWN_ANSWERS = (
    select_record(AnswerRecord)
    .join(
        _conversations,
        (_conversations.c.tenant_id == _answers.c.tenant_id) & (_conversations.c.id == _answers.c.conversation_id),
    )
    .where(
        _answers.c.tenant_id == _TENANT,
        _answers.c.id.in_(sa.bindparam("ids", expanding=True)),
        _conversations.c.owner_id == sa.bindparam("owner"),
    )
)
_waiting = _answers.alias("waiting")
_FOLLOWING = (
    sa.select(sa.case((_waiting.c.epoch == 0, _waiting.c.id)))
    .where(
        _waiting.c.tenant_id == _answers.c.tenant_id,
        _waiting.c.conversation_id == _answers.c.conversation_id,
        _waiting.c.id != _answers.c.id,
        _waiting.c.status.in_(UNFINISHED),
    )
    .order_by(_waiting.c.turn)
    .limit(1)
    .correlate(_answers)
    .scalar_subquery()
)
# What it sets are the values that it is given. The conversation's row is held by an earlier statement: so this one sees
# every question that was stored before, and whoever stores one afterwards finds this answer ended.
_END = (
    sa.update(_answers)
    .where(
        _answers.c.tenant_id == _TENANT,
        _answers.c.id == sa.bindparam("ended"),
        _answers.c.epoch == sa.bindparam("owner"),
        _answers.c.status == AnswerStatus.STREAMING,
    )
    .returning(_answers.c.question_id, _answers.c.selected, _FOLLOWING)
)
_ADD_ATTEMPTS, _ADD_MESSAGE, _ADD_CITATIONS = sa.insert(_attempts), sa.insert(_messages), sa.insert(_citations)


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A model that was asked before the one that an attempt ended with, and why it was given up."""

    provider: str
    model: str
    code: ErrorCode
    started_at: datetime
    finished_at: datetime


@dataclass(slots=True)
class Outcome:
    """How an attempt ended. `text` is what was said, also when it failed in the middle."""

    status: AnswerStatus
    text: str
    citations: list[Cited]
    provider: str
    model: str
    finish_reason: str | None
    failure: Failed | None
    input_tokens: int | None
    output_tokens: int | None
    first_token_ms: int | None
    total_ms: int
    cost: Decimal | None = None
    """In US dollars, of the tokens of the model that the attempt ended with; None where that is not known."""
    cached: bool = False
    """Whether a model had been asked the same before, and this is what it answered then."""
    given_up: Sequence[GivenUp] = ()
    """The models that were asked before this one, in order."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Whose an unfinished answer is: of the attempt that is its `epoch`."""

    answer_id: UUID
    conversation_id: UUID
    epoch: int


async def own_answers(reads: Reads, owner_id: UUID, ids: Sequence[UUID]) -> list[AnswerRecord]:
    """Those of the answers that stand in conversations of this person's, in no order."""
    values = {"of_tenant": reads.tenant_id, "ids": ids, "owner": owner_id}
    return await reads.records(AnswerRecord, _OWN_ANSWERS, values)


async def answer_by_id(reads: Reads, answer_id: UUID) -> AnswerRecord | None:
    """The answer, for whoever has been let through to it before."""
    statement = select_record(AnswerRecord).where(_answers.c.tenant_id == reads.tenant_id, _answers.c.id == answer_id)
    return await reads.first(AnswerRecord, statement)


async def message_piece(reads: Reads, answer_id: UUID, start: int, chars: int) -> tuple[int, str]:
    """How many characters the stored text of a finished answer has (0: it has none), and so many of them from one."""
    statement = sa.select(
        sa.func.char_length(_messages.c.text), sa.func.substr(_messages.c.text, start + 1, chars)
    ).where(_messages.c.tenant_id == reads.tenant_id, _messages.c.answer_id == answer_id)
    rows = await reads.rows(statement)
    return (rows[0][0], rows[0][1]) if rows else (0, "")


async def owns(reads: Reads, answer_id: UUID, epoch: int) -> bool:
    """Whether the answer is still unfinished and of this epoch."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.epoch == epoch,
        _answers.c.status == AnswerStatus.STREAMING,
    )
    return await reads.scalar(statement) is not None


@dataclass(frozen=True, slots=True)
class Ended:
    """An answer has ended. `following` is the conversation's first unfinished answer, if nobody has begun it."""

    following: UUID | None
    version: int
    """Of the conversation, that this is a change of."""


async def finish(tx: WriteTransaction, claim: Claim, outcome: Outcome, started_at: datetime) -> Ended | None:
    """End the answer, store its message and citations; None when the epoch is not the owner: then roll back.

    Another answer to a question that has one already becomes the selected one if it is complete, or has text where the
    selected one has none.
    """
    # The conversation's row first, as everywhere: see `conversations.lock_own`.
    place = await (take_place if outcome.text else note_change)(tx, claim.conversation_id)
    if place is None:
        return None
    now = datetime.now(UTC)
    failure = outcome.failure
    values: dict[str, Any] = {
        "of_tenant": tx.tenant_id,
        "ended": claim.answer_id,
        "owner": claim.epoch,
        "status": outcome.status,
        "version": place.version,
        "provider": outcome.provider,
        "model": outcome.model,
        "failure_code": failure and failure.code,
        "failure_message": failure and failure.message,
        "failure_retryable": failure and failure.retryable,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cost": outcome.cost,
        "first_token_ms": outcome.first_token_ms,
        "total_ms": outcome.total_ms,
        "cached": outcome.cached,
        "finished_at": now,
    }
    ended = await tx.rows(_END, values)
    if not ended:
        return None
    ((question_id, selected, following),) = ended
    await tx.add(_ADD_ATTEMPTS, _given_up(tx.tenant_id, claim, outcome.given_up))
    await tx.add(_ADD_ATTEMPTS, [_attempt(tx.tenant_id, claim, outcome, started_at, now)])
    if not selected and (
        outcome.status is AnswerStatus.COMPLETED or (outcome.text and not await selected_has_text(tx, question_id))
    ):
        await select_answer(tx, question_id, claim.answer_id, place.version)
    if outcome.text:
        message = {
            "tenant_id": tx.tenant_id,
            "id": new_id(),
            "conversation_id": claim.conversation_id,
            "sequence": place.sequence,
            "version": place.version,
            "role": MessageRole.ASSISTANT,
            "text": outcome.text,
            "answer_id": claim.answer_id,
        }
        await tx.add(_ADD_MESSAGE, [message])
    await _store_citations(tx, claim.answer_id, outcome.citations)
    return Ended(following, place.version)


def _attempt(
    tenant_id: TenantId, claim: Claim, outcome: Outcome, started_at: datetime, now: datetime
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": new_id(),
        "answer_id": claim.answer_id,
        "epoch": claim.epoch,
        "ordinal": len(outcome.given_up) + 1,
        "provider": outcome.provider,
        "model": outcome.model,
        "finish_reason": outcome.finish_reason,
        "failure_code": outcome.failure.code if outcome.failure else None,
        "input_tokens": outcome.input_tokens,
        "output_tokens": outcome.output_tokens,
        "cost": outcome.cost,
        "first_token_ms": outcome.first_token_ms,
        "total_ms": outcome.total_ms,
        "started_at": started_at,
        "finished_at": now,
    }


def _given_up(tenant_id: TenantId, claim: Claim, models: Sequence[GivenUp]) -> list[dict[str, Any]]:
    return [
        {
            "tenant_id": tenant_id,
            "id": new_id(),
            "answer_id": claim.answer_id,
            "epoch": claim.epoch,
            "ordinal": ordinal,
            "provider": given_up.provider,
            "model": given_up.model,
            "failure_code": given_up.code,
            "total_ms": round((given_up.finished_at - given_up.started_at).total_seconds() * 1000),
            "started_at": given_up.started_at,
            "finished_at": given_up.finished_at,
        }
        for ordinal, given_up in enumerate(models, start=1)
    ]


async def _store_citations(tx: WriteTransaction, answer_id: UUID, citations: list[Cited]) -> None:
    """Store citations; one whose document was deleted while the answer ran keeps its quote and loses its link."""
    alive = await existing_chunks(tx, [cited.chunk_id for cited in citations if cited.chunk_id])
    rows = []
    for cited in citations:
        kept = cited.chunk_id in alive
        rows.append(
            {
                "tenant_id": tx.tenant_id,
                "id": new_id(),
                "answer_id": answer_id,
                "marker": cited.marker,
                "chunk_id": cited.chunk_id if kept else None,
                "document_id": cited.document_id if kept else None,
                "document_name": cited.document_name,
                "page": cited.page,
                "quote": cited.quote,
                "start": cited.start,
                "end": cited.end,
                "distance": cited.distance,
            }
        )
    await tx.add(_ADD_CITATIONS, rows)
