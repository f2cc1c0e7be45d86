"""Mutations: the prompt library."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from datastores.prompts import PromptRecord
from resolvers import prompts
from schema.errors import Conflict, InvalidInput, NotFound
from schema.records import Info
from schema.types.prompts import Prompt

_TEXT = (
    "1 to 8,000 characters. `$assistant`, `$organization`, `$date` (today's, UTC) and `$language` are replaced; a `$` "
    "itself is written `$$`. The rules on the use of the context and on citations are added by the product."
)


@strawberry.input
class CreatePromptInput:
    name: str = strawberry.field(description="1 to 100 characters.")
    text: str = strawberry.field(description=_TEXT)
    description: str | None = strawberry.field(default=None, description="At most 500 characters.")


@strawberry.type
class CreatePromptPayload:
    prompt: Prompt


@strawberry.input(description="What is not given stays as it is.")
class UpdatePromptInput:
    prompt_id: strawberry.ID
    name: str | None = strawberry.field(default=None, description="1 to 100 characters.")
    description: str | None = strawberry.field(default=None, description="At most 500 characters.")
    text: str | None = strawberry.field(default=None, description=_TEXT)
    newest: int | None = strawberry.field(
        default=None, description="The version that the change was made from: with a newer one it is a Conflict."
    )


@strawberry.type
class UpdatePromptPayload:
    prompt: Prompt


CreatePromptResult = Annotated[CreatePromptPayload | InvalidInput | Conflict, strawberry.union("CreatePromptResult")]
UpdatePromptResult = Annotated[
    UpdatePromptPayload | NotFound | InvalidInput | Conflict, strawberry.union("UpdatePromptResult")
]


@strawberry.type
class PromptMutations:
    @strawberry.mutation(description="Add a prompt to the library. Needs the role BUSINESS.")
    async def create_prompt(self, info: Info, input: CreatePromptInput) -> CreatePromptResult:
        result: Any = await prompts.create_prompt(
            info.context, name=input.name, description=input.description or "", text=input.text
        )
        made = type(result) is PromptRecord
        return CreatePromptPayload(prompt=result) if made else result

    @strawberry.mutation(
        description="Change a prompt. Another text makes a new version, which assistants say that follow the newest "
        "one; those that name a version go on saying that. Needs the role BUSINESS."
    )
    async def update_prompt(self, info: Info, input: UpdatePromptInput) -> UpdatePromptResult:
        result: Any = await prompts.update_prompt(
            info.context,
            input.prompt_id,
            name=input.name,
            description=input.description,
            text=input.text,
            newest=input.newest,
        )
        changed = type(result) is PromptRecord
        return UpdatePromptPayload(prompt=result) if changed else result
