"""What following a conversation costs: the same few statements an event, whatever the conversation's length."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from statements import counted

from owner import as_owner, uuid_of
from product import Person, Product

CONVERSATION = """subscription($id: ID!) { conversation(id: $id) { __typename
  ... on AnswerChanged { answer { status message { text } } } } }"""
CHANGE = """WITH c AS (UPDATE conversations SET version = version + 1 RETURNING id, version)
  UPDATE answers SET version = c.version FROM c
  WHERE answers.id = (SELECT id FROM answers ORDER BY turn DESC LIMIT 1)"""


async def test_an_event_costs_the_same_few_statements_however_long_the_conversation(own_product: Product) -> None:
    person, costs = await own_product.sign_up(), []
    conversation = await person.conversation()
    for _ in range(2):
        for _ in range(3):
            await person.ask("When does the first ferry leave?", conversation)
        async with counted(own_product) as statements, aclosing(_events(person, conversation)) as events:
            assert await anext(events) == "ConversationSnapshot"
            before = len(statements)
            await as_owner(own_product.settings, CHANGE)
            await own_product.services.news.tell(person.tenant_id, uuid_of(conversation))
            assert await anext(events) == "AnswerChanged"
            costs.append(len(statements) - before)
    # The conversation, its messages, its answers; and the answer's message, which the selection asks for.
    assert costs == [4, 4]


async def _events(person: Person, conversation: str) -> AsyncIterator[str]:
    async for event in person.subscribe(CONVERSATION, "conversation", id=conversation):
        yield event["__typename"]
