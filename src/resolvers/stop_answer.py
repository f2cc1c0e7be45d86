"""Stopping an answer, whichever process writes it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import UUID

from core.ids import NodeKind, TenantId
from datastores import answer_stops, answer_turns, answers, redis_keys
from datastores.answer_events import decode_event
from datastores.answer_log import SupersededError
from datastores.models import AnswerStatus
from datastores.records import AnswerRecord
from datastores.redis_client import REDIS_ERRORS
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.permissions import Operation
from resolvers.results import InvalidInput, NotFound
from resolvers.services import Services

END_SECONDS = 2.0
"""How long the answer's end is waited for, so that the result shows it."""


async def stop_answer(context: Context, answer_id: str) -> AnswerRecord | NotFound | InvalidInput:
    """End an answer with what it has said so far; one that nobody has begun ends without a word.

    Returns it as it has ended, also when it had before. It is still unfinished when its producer could not be reached:
    then it ends with the producer's next look (two seconds), or, if that one is dead, with its successor's.
    """
    person = await context.authorise(Operation.STOP_ANSWER)
    wanted = input_id(NodeKind.ANSWER, answer_id, "answerId")
    if isinstance(wanted, InvalidInput):
        return wanted
    tenant_id, following = TenantId(person.tenant_id), None
    async with context.write() as tx:
        found = await answers.own_answers(tx, person.id, [wanted])
        if not found:
            return NotFound.of("answer")
        # What has been begun does not wait again; what waits may be begun in this moment.
        ended = found[0].status is AnswerStatus.PENDING and await answer_stops.stop_waiting(tx, wanted)
        requested = not ended and await answer_stops.request_stop(tx, wanted)
        if ended:
            following = await answer_turns.next_pending(tx, found[0].conversation_id)
    if ended:
        with suppress(SupersededError, *REDIS_ERRORS):
            await context.services.answer_log.stop_queued(tenant_id, wanted)
        await context.services.news.tell(tenant_id, found[0].conversation_id)
    if following is not None:
        context.services.supervisor.produce(tenant_id, following)
    if requested and await context.services.stop_calls.tell_producer(wanted):
        await _wait_for_the_end(context.services, tenant_id, wanted)
    found = await answers.own_answers(context.reads, person.id, [wanted])
    return found[0] if found else NotFound.of("answer")


async def _wait_for_the_end(services: Services, tenant_id: TenantId, answer_id: UUID) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + END_SECONDS
    async with services.live.follow(redis_keys.answer_live(tenant_id, answer_id)) as feed:
        heard = None
        while True:
            if heard is None:
                # Its last event may have come before we listened, or been missed.
                async with services.postgres.read(tenant_id) as tx:
                    answer = await answers.answer_by_id(tx, answer_id)
                if answer is None or answer.status not in answers.UNFINISHED:
                    return
            left = until - loop.time()
            if left <= 0:
                return
            heard = await feed.take(left)
            if any(decode_event(event).terminal for event in heard or ()):
                return
