"""Whose turn it is: answers of one conversation are produced one after another, in the order they were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql.dml import ReturningUpdate

from core.ids import TenantId
from datastores.answers import UNFINISHED
from datastores.models import (
    Answer,
    AnswerStatus,
    Assistant,
    Conversation,
    DocumentScope,
    Message,
    PromptVersion,
    ProviderKey,
    Tenant,
)
from datastores.records import table
from datastores.tenants import suspended
from datastores.transactions import PlatformTransaction, Reads, WriteTransaction

_answers, _messages, _conversations = table(Answer), table(Message), table(Conversation)
_assistants, _tenants, _keys = table(Assistant), table(Tenant), table(ProviderKey)
_texts = table(PromptVersion)


@dataclass(slots=True)
class ClaimedAnswer:
    """All that the producer of an answer has to know."""

    epoch: int
    conversation_id: UUID
    question: str
    question_sequence: int
    assigned_to: UUID | None
    """The assistant whose assigned documents alone are searched; None: all are."""
    assistant: str
    organization: str
    prompt: str | None
    instructions: str
    language: str | None
    provider: str | None
    model: str | None
    fallback_providers: list[str] | None
    temperature: float
    embedding_model_id: str
    context_tokens: int | None
    """The assistant's budget for a prompt; None: the deployment's."""
    cache_answers: bool
    """Whether a model's answer to the same prompt may be given again."""
    regenerated: bool
    """Whether the question has an earlier answer: then a person wants another one."""
    previous_question: int | None
    """The number of the question before this one, in its conversation."""
    previous_version: int | None
    """The version in which that question's answers last changed."""
    earlier_version: int | None
    """The same of the answers to all questions before that one."""
    sealed_keys: dict[str, str] | None
    """The tenant's own by provider; None: it has none."""
    stop_requested: bool
    """A person has stopped it, and whoever wrote it could not be told: it has to end with what was said."""


def _question_of(answer: sa.FromClause, question: sa.FromClause) -> sa.ColumnElement[bool]:
    return (question.c.tenant_id == answer.c.tenant_id) & (question.c.id == answer.c.question_id)


_other = _answers.alias("other")
_beside = (_other.c.tenant_id == _answers.c.tenant_id) & (_other.c.conversation_id == _answers.c.conversation_id)
# By their turns, not by their ids: those were made by processes whose clocks may differ.
_blocked = (
    sa.select(_other.c.id)
    .where(_beside, _other.c.status.in_(UNFINISHED), _other.c.turn < _answers.c.turn)
    .correlate(_answers)
    .exists()
)
_earlier = (
    sa.select(_other.c.id)
    .where(_beside, _other.c.question_id == _answers.c.question_id, _other.c.turn < _answers.c.turn)
    .correlate(_answers)
    .exists()
)
_before = _messages.alias("question_before")
_previous = (
    sa.select(sa.func.max(_before.c.sequence))
    .where(
        _before.c.tenant_id == _answers.c.tenant_id,
        _before.c.conversation_id == _answers.c.conversation_id,
        _before.c.sequence < _messages.c.sequence,
        _before.c.answer_id.is_(None),
    )
    .correlate(_answers, _messages)
    .scalar_subquery()
)


def _last_change(of_question: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    return (
        sa.select(sa.func.max(_other.c.version))
        .where(_beside, _question_of(_other, _asked), of_question)
        .correlate(_answers, _messages)
        .scalar_subquery()
    )


_asked = _messages.alias("asked")
_previous_version = _last_change(_asked.c.sequence == _previous)
_earlier_version = _last_change(_asked.c.sequence < _previous)
_sealed_keys = (
    sa.select(sa.func.jsonb_object_agg(_keys.c.provider, _keys.c.sealed, type_=JSONB))
    .where(_keys.c.tenant_id == _answers.c.tenant_id)
    .correlate(_answers)
    .scalar_subquery()
)
_prompt = (
    sa.select(_texts.c.text)
    .where(
        _texts.c.tenant_id == _assistants.c.tenant_id,
        _texts.c.prompt_id == _assistants.c.prompt_id,
        sa.or_(_assistants.c.prompt_version.is_(None), _texts.c.number == _assistants.c.prompt_version),
    )
    .order_by(_texts.c.number.desc())
    .limit(1)
    .correlate(_assistants)
    .scalar_subquery()
)
_TENANT: sa.BindParameter[Any] = sa.bindparam("of_tenant")


def version_where(condition: sa.ColumnElement[bool]) -> sa.CTE:
    """The next version of the conversation whose answer meets the condition: its id and version, or no row.

    In one statement with the answer's change, and joined to it, so that the conversation is held before the answer.
    The statement is given the tenant as `of_tenant`.
    """
    fits = sa.select(_answers.c.conversation_id).where(condition).scalar_subquery()
    return (
        sa.update(_conversations)
        .where(_conversations.c.tenant_id == _TENANT, _conversations.c.id == fits)
        .values(version=_conversations.c.version + 1)
        .returning(_conversations.c.id, _conversations.c.version, _conversations.c.assistant_id)
        .cte("conversation")
    )


def _claim() -> ReturningUpdate[Any]:
    claimable = sa.and_(
        _answers.c.tenant_id == _TENANT,
        _answers.c.id == sa.bindparam("claimed"),
        _answers.c.status.in_(UNFINISHED),
        _answers.c.epoch == sa.bindparam("seen"),
    )
    conversation = version_where(claimable & ~_blocked & ~suspended(_answers.c.tenant_id))
    return (
        sa.update(_answers)
        .where(
            claimable,
            _answers.c.conversation_id == conversation.c.id,
            _question_of(_answers, _messages),
            _assistants.c.tenant_id == _answers.c.tenant_id,
            _assistants.c.id == conversation.c.assistant_id,
            _tenants.c.id == _answers.c.tenant_id,
        )
        .values(
            epoch=_answers.c.epoch + 1,
            status=AnswerStatus.STREAMING,
            version=conversation.c.version,
            producer_id=sa.bindparam("producer", type_=sa.Uuid()),
        )
        .returning(
            _answers.c.epoch,
            _answers.c.conversation_id,
            _messages.c.text,
            _messages.c.sequence,
            sa.case((_assistants.c.document_scope != DocumentScope.ALL, _assistants.c.id)),
            _assistants.c.name,
            _tenants.c.name,
            _prompt,
            _assistants.c.instructions,
            _assistants.c.language,
            _assistants.c.provider,
            _assistants.c.model,
            _assistants.c.fallback_providers,
            _assistants.c.temperature,
            _tenants.c.embedding_model_id,
            _assistants.c.context_tokens,
            _assistants.c.cache_answers,
            _earlier,
            _previous,
            _previous_version,
            _earlier_version,
            _sealed_keys,
            _answers.c.stop_requested_at.is_not(None),
        )
    )


_CLAIM = _claim()


async def is_turn(reads: Reads, answer_id: UUID, seen_epoch: int) -> bool:
    """Whether `claim` would give the answer away now, unless the tenant is suspended: only `claim` looks at that."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.status.in_(UNFINISHED),
        _answers.c.epoch == seen_epoch,
        ~_blocked,
    )
    return bool(await reads.rows(statement))


async def is_begun(reads: Reads, answer_id: UUID) -> bool:
    """Whether some process has begun the answer, and nobody has ended it."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.status == AnswerStatus.STREAMING,
    )
    return bool(await reads.rows(statement))


async def claim(tx: WriteTransaction, answer_id: UUID, seen_epoch: int, producer_id: UUID) -> ClaimedAnswer | None:
    """Take the answer over for a process as the epoch after `seen_epoch` (0: nobody has begun).

    None when it has finished, while an earlier answer of the same conversation has not, while its tenant is suspended,
    or when somebody else took it since its epoch was seen: of two claimants at once, one wins.
    """
    values = {"of_tenant": tx.tenant_id, "claimed": answer_id, "seen": seen_epoch, "producer": producer_id}
    return await tx.first(ClaimedAnswer, _CLAIM, values)


async def unfinished_among(
    tx: PlatformTransaction, answers: Sequence[tuple[TenantId, UUID]]
) -> set[tuple[TenantId, UUID]]:
    """Those of these answers, of whatever tenants, that have not ended."""
    ids = sa.ARRAY(sa.Uuid)
    tenants, own = (sa.bindparam(None, [answer[column] for answer in answers], type_=ids) for column in (0, 1))
    wanted = sa.func.unnest(tenants, own).table_valued("tenant_id", "id").render_derived()
    statement = (
        sa.select(_answers.c.tenant_id, _answers.c.id)
        .join(wanted, (wanted.c.tenant_id == _answers.c.tenant_id) & (wanted.c.id == _answers.c.id))
        .where(_answers.c.status.in_(UNFINISHED))
    )
    return {(TenantId(row[0]), row[1]) for row in await tx.rows(statement)}


async def next_pending(reads: Reads, conversation_id: UUID) -> UUID | None:
    """The first of the conversation's unfinished answers, if nobody has begun it."""
    statement = (
        sa.select(_answers.c.id, _answers.c.epoch)
        .where(
            _answers.c.tenant_id == reads.tenant_id,
            _answers.c.conversation_id == conversation_id,
            _answers.c.status.in_(UNFINISHED),
        )
        .order_by(_answers.c.turn)
        .limit(1)
    )
    rows = await reads.rows(statement)
    found: UUID | None = rows[0][0] if rows and rows[0][1] == 0 else None
    return found


async def is_waiting(reads: Reads, answer_id: UUID) -> bool:
    """Whether nobody has begun the answer, and nobody has stopped it."""
    statement = sa.select(_answers.c.id).where(
        _answers.c.tenant_id == reads.tenant_id,
        _answers.c.id == answer_id,
        _answers.c.status == AnswerStatus.PENDING,
    )
    return await reads.scalar(statement) is not None
