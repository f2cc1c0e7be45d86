"""What `sendMessage` answers is what was stored: the statement that stores it gives it, and nothing reads it again."""

from __future__ import annotations

from typing import Any

import pytest

from core.ids import new_id
from datastores.answers import own_answers
from datastores.conversations import own_conversations, own_messages
from datastores.questions import add_question
from owner import uuid_of
from product import Product

MESSAGE = "id role text createdAt conversation { id title } author { id name }"
SEND = f"""mutation($input: SendMessageInput!) {{ sendMessage(input: $input) {{ ... on SendMessagePayload {{
  message {{ {MESSAGE} }}
  answer {{ id status attempt selected model finishedAt createdAt question {{ {MESSAGE} }}
    message {{ id }} citations {{ marker }} usage {{ inputTokens }} failure {{ code }} }} }} }} }}"""
NODES = f"""query($message: ID!, $answer: ID!) {{
  message: node(id: $message) {{ ... on Message {{ {MESSAGE} }} }}
  answer: node(id: $answer) {{ ... on Answer {{ id selected createdAt question {{ {MESSAGE} }} }} }} }}"""


async def test_it_is_field_by_field_what_a_query_reads_later(product: Product) -> None:
    person = await product.sign_up()
    values = {
        "conversationId": await person.conversation(),
        "text": "How long is a token valid?",
        "idempotencyKey": "1",
    }
    sent = (await person.query(SEND, input=values))["sendMessage"]
    new = {"status": "PENDING", "attempt": 0, "model": None, "finishedAt": None}
    new |= {"message": None, "citations": [], "usage": None, "failure": None}
    assert {name: sent["answer"].pop(name) for name in new} == new
    assert await person.query(NODES, message=sent["message"]["id"], answer=sent["answer"]["id"]) == sent
    # The same key finds them again, which is a read.
    again: dict[str, Any] = (await person.query(SEND, input=values))["sendMessage"]
    assert again["message"] == sent["message"]
    assert {name: again["answer"][name] for name in sent["answer"]} == sent["answer"]


@pytest.mark.parametrize(("title", "named"), [("", "Tokens"), ("Mine", "Mine")])
async def test_it_is_column_by_column_what_is_stored(product: Product, title: str, named: str) -> None:
    person = await product.sign_up()
    owner, conversation = uuid_of(person.user_id), uuid_of(await person.conversation())
    async with product.services.postgres.write(person.tenant_id) as tx:
        for number, new_title in enumerate([title, "Tokens", "Later"], start=1):
            asked = await add_question(
                tx,
                conversation_id=conversation,
                author_id=owner,
                text="How long is a token valid?",
                title=new_title,
                idempotency_key=None,
                answer_id=new_id(),
            )
            assert asked.message.sequence == number
            assert await own_messages(tx, owner, [asked.message.id]) == [asked.message]
            assert await own_answers(tx, owner, [asked.answer.id]) == [asked.answer]
        (stored,) = await own_conversations(tx, owner, [conversation])
        assert stored.title == named
