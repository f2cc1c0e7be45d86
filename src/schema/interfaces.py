"""The interfaces of the schema."""

import strawberry

from schema.enums import ErrorCode


@strawberry.interface(description="An object that can be read again by its id.")
class Node:
    id: strawberry.ID


@strawberry.interface(description="An error that a correct client can run into in the course of its work.")
class UserError:
    code: ErrorCode
    message: str = strawberry.field(
        description="Written for people; may be shown. In one selection with `SendMessagePayload.message`, which is "
        "an object, one of the two needs an alias: `reason: message`."
    )


@strawberry.interface(description="`cursor` is for `after`.")
class ConversationStreamEvent:
    cursor: str


@strawberry.interface(description="`sequence` counts from 1 within an attempt, without holes; `cursor` is for `after`.")
class StreamEvent:
    sequence: int
    cursor: str
