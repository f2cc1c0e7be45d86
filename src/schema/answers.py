"""Mutations: what a person can do to an answer."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.records import AnswerRecord
from resolvers import other_answers
from resolvers.stop_answer import stop_answer
from schema.errors import Conflict, IdempotencyConflict, InsufficientCredits, InvalidInput, NotFound, RateLimited
from schema.records import Info
from schema.types.chat import Answer


@strawberry.input
class StopAnswerInput:
    answer_id: strawberry.ID


@strawberry.input
class RegenerateAnswerInput:
    answer_id: strawberry.ID = strawberry.field(description="Any answer to the question, however it ended.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="1 to 200 characters. Asking again with the same key gives the same answer."
    )


@strawberry.input
class SelectAnswerInput:
    answer_id: strawberry.ID


@strawberry.type
class StopAnswerPayload:
    answer: Answer = strawberry.field(
        description="As it ended. It is unfinished only where its server could not be reached: then it ends by itself "
        "soon, and its followers are told."
    )


@strawberry.type
class RegenerateAnswerPayload:
    answer: Answer = strawberry.field(description="The further answer. Follow it with `subscription answer`.")


@strawberry.type
class SelectAnswerPayload:
    answer: Answer


StopAnswerResult = Annotated[StopAnswerPayload | NotFound | InvalidInput, strawberry.union("StopAnswerResult")]
RegenerateAnswerResult = Annotated[
    RegenerateAnswerPayload
    | NotFound
    | InvalidInput
    | Conflict
    | RateLimited
    | IdempotencyConflict
    | InsufficientCredits,
    strawberry.union("RegenerateAnswerResult"),
]
SelectAnswerResult = Annotated[
    SelectAnswerPayload | NotFound | InvalidInput | Conflict, strawberry.union("SelectAnswerResult")
]


@strawberry.type
class AnswerMutations:
    @strawberry.mutation(
        description="End an answer with what it has said so far; one that waits ends without a word. Stopping one that "
        "has ended changes nothing."
    )
    async def stop_answer(self, info: Info, input: StopAnswerInput) -> StopAnswerResult:
        result: Any = await stop_answer(info.context, input.answer_id)
        done = type(result) is AnswerRecord
        return StopAnswerPayload(answer=result) if done else result

    @strawberry.mutation(
        description="Ask for another answer to the same question; the others stay. It waits for its turn as the answer "
        "to a new question does, and is the selected one once it is complete. Conflict while an answer to the question "
        "is unfinished."
    )
    async def regenerate_answer(self, info: Info, input: RegenerateAnswerInput) -> RegenerateAnswerResult:
        result: Any = await other_answers.regenerate_answer(
            info.context, answer_id=input.answer_id, idempotency_key=input.idempotency_key
        )
        done = type(result) is AnswerRecord
        return RegenerateAnswerPayload(answer=result) if done else result

    @strawberry.mutation(
        description="Choose which of a question's answers the conversation's history uses. It has to be finished and "
        "to have text."
    )
    async def select_answer(self, info: Info, input: SelectAnswerInput) -> SelectAnswerResult:
        result: Any = await other_answers.select_answer(info.context, input.answer_id)
        done = type(result) is AnswerRecord
        return SelectAnswerPayload(answer=result) if done else result
