"""Several answers to one question: asking for another, and choosing which one counts."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.exc import IntegrityError

from core.ids import NodeKind, TenantId, new_id
from datastores import answer_selection, answers, conversations, regeneration
from datastores.records import AnswerRecord
from datastores.regeneration import Regenerated
from datastores.transactions import WriteTransaction
from resolvers.arguments import input_id, key_problem
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import Conflict, IdempotencyConflict, InvalidInput, NotFound, RateLimited


async def regenerate_answer(
    context: Context, *, answer_id: str, idempotency_key: str | None
) -> AnswerRecord | NotFound | InvalidInput | Conflict | RateLimited | IdempotencyConflict:
    """Store a PENDING answer to the question of an earlier one, then have it produced.

    The same key gives the same answer; the same key for another question is a conflict. Nothing is stored while an
    answer to the question is unfinished, or while the tenant has as many answers being written as it may.
    """
    person = await context.authorise(Operation.REGENERATE_ANSWER)
    wanted = input_id(NodeKind.ANSWER, answer_id, "answerId")
    if isinstance(wanted, InvalidInput):
        return wanted
    if problem := key_problem(idempotency_key):
        return problem
    tenant_id, slots, new = TenantId(person.tenant_id), context.services.slots, new_id()
    # Those who send one key again and again take one slot, not one each.
    async with context.services.keys.of((person.id, "regenerate", idempotency_key or new)):
        # Before the transaction, which must not wait for Redis.
        full = await slots.acquire(tenant_id, new)
        result: Regenerated | NotFound | Conflict | None = None
        try:
            result = await _regenerated(context, person.id, wanted, idempotency_key, None if full else new)
        finally:
            if full is None and not (isinstance(result, Regenerated) and result.answer_id == new):
                await slots.release(tenant_id, new)
    if result is None:
        assert full is not None
        return context.limited(full)
    if not isinstance(result, Regenerated):
        return result
    both = {one.id: one for one in await answers.own_answers(context.reads, person.id, [wanted, result.answer_id])}
    earlier, answer = both.get(wanted), both.get(result.answer_id)
    if earlier is not None and earlier.question_id != result.question_id:
        return IdempotencyConflict("This idempotency key was used for another question.")
    context.services.supervisor.produce(tenant_id, result.answer_id)
    if answer is not None and result.answer_id == new:
        await context.services.news.tell(tenant_id, answer.conversation_id)
    return answer or NotFound.of("answer")


async def select_answer(context: Context, answer_id: str) -> AnswerRecord | NotFound | InvalidInput | Conflict:
    """Have the conversation's history use this answer to its question. One that is selected already stays it."""
    person = await context.authorise(Operation.SELECT_ANSWER)
    wanted = input_id(NodeKind.ANSWER, answer_id, "answerId")
    if isinstance(wanted, InvalidInput):
        return wanted
    async with context.write() as tx:
        answer = await _held(tx, person.id, wanted)
        if answer is None:
            return NotFound.of("answer")
        if answer.status in answers.UNFINISHED:
            return Conflict("This answer is not finished. Wait for its end, then select it.")
        if not await answer_selection.has_text(tx, wanted):
            return Conflict("This answer has no text that could be used.")
        if answer.selected:
            return answer
        place = await conversations.note_change(tx, answer.conversation_id)
        assert place is not None, "it is held"
        await answer_selection.select_answer(tx, answer.question_id, wanted, place.version)
        (selected,) = await answers.own_answers(tx, person.id, [wanted])
    await context.services.news.tell(TenantId(person.tenant_id), selected.conversation_id)
    return selected


async def _regenerated(
    context: Context, person_id: UUID, answer_id: UUID, key: str | None, new: UUID | None
) -> Regenerated | NotFound | Conflict | None:
    """The answer of that key, or else a new one; None where it would be a new one, and may have no id."""
    try:
        async with context.write() as tx:
            earlier = await _held(tx, person_id, answer_id)
            if earlier is None:
                return NotFound.of("answer")
            known = await regeneration.regenerated_by_key(tx, person_id, key) if key else None
            if known is not None:
                return _named(context, known)
            if await regeneration.is_being_answered(tx, earlier.question_id):
                return Conflict("This question is being answered at the moment: wait for the end, or stop that answer.")
            if new is None:
                return None
            added = await regeneration.regenerate(tx, earlier, answer_id=new, person_id=person_id, idempotency_key=key)
            return _named(context, added)
    except IntegrityError:
        # The same key was used by a request beside this one, in another conversation.
        assert key is not None
        known = await regeneration.regenerated_by_key(context.reads, person_id, key)
        if known is None:
            raise
        return _named(context, known)


async def _held(tx: WriteTransaction, person_id: UUID, answer_id: UUID) -> AnswerRecord | None:
    """The person's answer as it is while its conversation is held; None where there is none."""
    found = await answers.own_answers(tx, person_id, [answer_id])
    if not found or not await conversations.lock_own(tx, person_id, found[0].conversation_id):
        return None
    # Read again: until the conversation was held, others may have changed it.
    found = await answers.own_answers(tx, person_id, [answer_id])
    return found[0] if found else None


def _named(context: Context, answer: Regenerated) -> Regenerated:
    """The answer, known to the audit log."""
    context.acts_on(NodeKind.ANSWER, answer.answer_id)
    return answer
