"""The statement that ends an answer finds the one that the conversation goes on with."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from core.ids import new_id
from datastores.answers import Claim, Outcome, answer_by_id, finish
from datastores.models import AnswerStatus
from datastores.questions import add_question
from held_answer import EPOCH, hold_answer
from owner import as_owner, uuid_of
from product import Product

OUTCOME = Outcome(AnswerStatus.COMPLETED, "Said", [], "local", "extractive", "stop", None, None, None, None, 1)


@pytest.mark.parametrize("begun", [False, True], ids=["nobody has begun it", "somebody has begun it"])
async def test_it_is_the_first_that_waits_unless_it_has_been_begun(product: Product, begun: bool) -> None:
    person = await product.sign_up()
    held = await hold_answer(person)
    added: list[UUID] = []
    async with product.services.postgres.write(person.tenant_id) as tx:
        stored = await answer_by_id(tx, held.key[1])
        assert stored is not None
        for text in ("Second", "Third"):
            asked = await add_question(
                tx,
                conversation_id=stored.conversation_id,
                author_id=uuid_of(person.user_id),
                text=text,
                title="",
                idempotency_key=None,
                answer_id=new_id(),
            )
            added.append(asked.answer.id)
    if begun:
        await as_owner(product.settings, "UPDATE answers SET epoch = 1, status = 'STREAMING' WHERE id = $1", added[0])
    async with product.services.postgres.write(person.tenant_id) as tx:
        claim = Claim(held.key[1], stored.conversation_id, EPOCH)
        ended = await finish(tx, claim, OUTCOME, datetime.now(UTC))
    assert ended is not None
    assert ended.following == (None if begun else added[0])


async def test_of_the_last_one_it_is_none(product: Product) -> None:
    person = await product.sign_up()
    held = await hold_answer(person)
    async with product.services.postgres.write(person.tenant_id) as tx:
        stored = await answer_by_id(tx, held.key[1])
        assert stored is not None
        claim = Claim(held.key[1], stored.conversation_id, EPOCH)
        ended = await finish(tx, claim, OUTCOME, datetime.now(UTC))
    assert ended is not None
    assert ended.following is None
