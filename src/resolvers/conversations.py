"""Conversations and messages: starting, sending, reading."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from core.errors import RequestError
from core.ids import NodeKind, TenantId, new_id
from datastores import conversations, people, questions
from datastores.models import Conversation
from datastores.pages import Page, PageRequest
from datastores.questions import Asked, StoredQuestion
from datastores.records import AnswerRecord, ConversationRecord, MessageRecord
from resolvers.arguments import input_id, key_problem
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import IdempotencyConflict, InvalidInput, NotFound, RateLimited
from resolvers.texts import is_blank, is_printable, is_storable

TITLE_CHARS = 200
DERIVED_TITLE_CHARS = 60


@dataclass(slots=True)
class Sent:
    """A stored question and the answer that is on its way."""

    message: MessageRecord
    answer: AnswerRecord | None


async def own_conversations(context: Context, title: str | None, page: PageRequest) -> Page[ConversationRecord]:
    """The signed-in person's conversations, newest activity first. Raises `RequestError`."""
    person = await context.authorise(Operation.VIEWER_CONVERSATIONS)
    if title is not None and not is_storable(title):
        raise RequestError.bad_input("`title` contains characters that are not text.")
    return await conversations.conversations_of(context.reads, person.id, title, page)


async def start_conversation(
    context: Context, *, assistant_id: str | None, title: str | None
) -> ConversationRecord | NotFound | InvalidInput:
    """A new conversation with that assistant, or with the tenant's default one."""
    person = await context.authorise(Operation.START_CONVERSATION)
    wanted: UUID | None = None
    if assistant_id is not None:
        parsed = input_id(NodeKind.ASSISTANT, assistant_id, "assistantId")
        if isinstance(parsed, InvalidInput):
            return parsed
        wanted = parsed
    if title is not None and (len(title) > TITLE_CHARS or not is_printable(title)):
        return InvalidInput(
            f"A title has at most {TITLE_CHARS} characters, all of them printable: no line breaks, no control or "
            f"invisible ones. This one has {len(title)}.",
            "title",
        )
    async with context.write() as tx:
        assistant = await people.assistant_or_default(tx, wanted)
        if assistant is None:
            return NotFound.of("assistant")
        conversation = Conversation(
            tenant_id=tx.tenant_id, owner_id=person.id, assistant_id=assistant.id, title=(title or "").strip()
        )
        tx.session.add(conversation)
        context.acts_on(NodeKind.CONVERSATION, conversation.id)
        (stored,) = await conversations.own_conversations(tx, person.id, [conversation.id])
    return stored


async def send_message(
    context: Context, *, conversation_id: str, text: str, idempotency_key: str | None
) -> Sent | NotFound | InvalidInput | IdempotencyConflict | RateLimited:
    """Store a question with its PENDING answer in one transaction, then have the answer produced.

    The same key gives the same message and answer; the same key with another text or conversation is a conflict.
    Nothing is stored while the tenant has as many answers being written as it may.
    """
    person = await context.authorise(Operation.SEND_MESSAGE)
    wanted = input_id(NodeKind.CONVERSATION, conversation_id, "conversationId")
    if isinstance(wanted, InvalidInput):
        return wanted
    if problem := _question_problem(context, text, idempotency_key):
        return problem
    tenant_id, answer_id = TenantId(person.tenant_id), new_id()
    # What has been read of the person holds a connection, which must not wait for others or for Redis.
    await context.aclose()
    # Those who send one key again and again take one slot, not one each.
    async with context.services.keys.of((person.id, "send", idempotency_key or answer_id)):
        # Before the transaction, which must not wait for Redis.
        full = await context.services.slots.acquire(tenant_id, answer_id)
        kept = False
        try:
            new = None if full else answer_id
            stored = await _store_question(context, person.id, wanted, text, idempotency_key, new)
            kept = isinstance(stored, Asked)
        finally:
            if not kept and full is None:
                await context.services.slots.release(tenant_id, answer_id)
    if stored is None:
        assert full is not None
        return context.limited(full)
    if isinstance(stored, NotFound):
        return stored
    if isinstance(stored, Asked):
        context.services.supervisor.produce(tenant_id, answer_id)
        await context.services.news.tell(tenant_id, wanted)
        return Sent(stored.message, stored.answer)
    if stored.conversation_id != wanted or stored.text != text:
        return IdempotencyConflict("This idempotency key was used for another message.")
    context.services.supervisor.produce(tenant_id, stored.answer_id)
    message = await context.loaders.messages.load(stored.message_id)
    assert message is not None
    return Sent(message, await context.loaders.answers.load(stored.answer_id))


async def _store_question(
    context: Context, person_id: UUID, conversation_id: UUID, text: str, key: str | None, answer_id: UUID | None
) -> Asked | StoredQuestion | NotFound | None:
    """A new question, or that of the key; None where it would be a new one, and its answer may have no id."""
    try:
        async with context.write() as tx:
            # Held: who sends the same key at the same time waits here, and then finds it.
            if not await conversations.lock_own(tx, person_id, conversation_id):
                return NotFound.of("conversation")
            earlier = await questions.question_by_key(tx, person_id, key) if key else None
            if earlier is not None:
                return _named(context, earlier)
            if answer_id is None:
                return None
            asked = await questions.add_question(
                tx,
                conversation_id=conversation_id,
                author_id=person_id,
                text=text,
                title=_title_from(text),
                idempotency_key=key,
                answer_id=answer_id,
            )
            context.acts_on(NodeKind.MESSAGE, asked.message.id)
            context.acts_on(NodeKind.ANSWER, asked.answer.id)
            return asked
    except IntegrityError:
        # The same key was stored in another conversation by a request beside this one, after we looked.
        assert key is not None
        found = await questions.question_by_key(context.reads, person_id, key)
        if found is None:
            raise
        return _named(context, found)


def _named(context: Context, stored: StoredQuestion) -> StoredQuestion:
    """The question, known to the audit log."""
    context.acts_on(NodeKind.MESSAGE, stored.message_id)
    context.acts_on(NodeKind.ANSWER, stored.answer_id)
    return stored


def _question_problem(context: Context, text: str, idempotency_key: str | None) -> InvalidInput | None:
    limit = context.services.settings.question_max_chars
    if is_blank(text):
        return InvalidInput("The question is empty.", "text")
    if len(text) > limit:
        return InvalidInput(f"The question has {len(text)} characters; at most {limit} are allowed.", "text")
    if not is_storable(text):
        return InvalidInput("The question contains characters that are not text.", "text")
    return key_problem(idempotency_key)


def _title_from(text: str) -> str:
    """The beginning of a question on one line, cut at a word, for a conversation without a title."""
    # As printable as a title that is given: a question may hold what would turn a list of titles upside down.
    line = "".join(character for character in " ".join(text.split()) if is_printable(character))
    if len(line) <= DERIVED_TITLE_CHARS:
        return line
    return line[:DERIVED_TITLE_CHARS].rsplit(" ", 1)[0].rstrip(" ,;:-") + "…"
