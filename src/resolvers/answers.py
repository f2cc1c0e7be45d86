"""Following an answer: who may, and from where."""

from __future__ import annotations

from core.errors import RequestError
from core.ids import InvalidIdError, NodeKind, TenantId
from datastores import answers
from datastores.answer_events import decode_cursor
from resolvers.arguments import argument_id
from resolvers.context import Context
from resolvers.following.past import BEGINNING, Place
from resolvers.following.viewer import AnswerViewer
from resolvers.permissions import Operation


async def follow_answer(context: Context, answer_id: str, after: str | None) -> AnswerViewer:
    """The answer's events from its beginning or after a cursor, ending with the terminal one.

    Raises `RequestError` at once: a malformed id or cursor, a cursor of another answer, an unknown or foreign answer.
    """
    wanted = argument_id(NodeKind.ANSWER, answer_id)
    person = await context.authorise(Operation.ANSWER)
    if not await answers.own_answers(context.reads, person.id, [wanted]):
        raise RequestError.bad_input("There is no such answer.")
    place = BEGINNING
    if after is not None:
        try:
            cursor = decode_cursor(after)
        except InvalidIdError as error:
            raise RequestError.bad_input(str(error)) from None
        if cursor.answer_id != wanted:
            raise RequestError.bad_input("`after` is a cursor of another answer.")
        place = Place(cursor.generation, cursor.sequence)
    # A subscription must not sit on a connection of the pool while it waits.
    await context.reads.aclose()
    return AnswerViewer(context.services.topics, TenantId(person.tenant_id), wanted, place)
