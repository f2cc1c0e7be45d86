"""Mutations: assistants."""

from __future__ import annotations

from typing import Annotated, Any, cast

import strawberry
from strawberry import UNSET

from datastores.records import AssistantRecord
from resolvers import assistants
from resolvers.assistants import Given, ScopeChange
from schema.enums import DocumentScope
from schema.errors import Conflict, InvalidInput, NotFound
from schema.records import Info
from schema.types.people import Assistant

_COLUMNS = tuple(Given.__annotations__)
_OPTIONAL = ("prompt_id", "prompt_version", "language", "provider", "model", "fallback_providers", "context_tokens")
"""Where null means something; elsewhere it is as if nothing were given."""


@strawberry.input
class _Choice:
    """What is told of in the same words wherever it is chosen."""

    instructions: str | None = strawberry.field(
        default=UNSET, description="What the model is told beside the rules, at most 8,000 characters."
    )
    prompt_id: strawberry.ID | None = strawberry.field(
        default=UNSET, description="Its system prompt, of `Viewer.prompts`. Null: the product's own."
    )
    prompt_version: int | None = strawberry.field(
        default=UNSET, description="Of the prompt. Null, and where another prompt is named without one: the newest."
    )
    language: str | None = strawberry.field(
        default=UNSET,
        description="In which it answers, as `English` or `Swiss German`; 1 to 50 characters. Null: in that of the "
        "question.",
    )
    fallback_providers: list[str] | None = strawberry.field(
        default=UNSET,
        description="Asked in this order, each with its default model, when the provider fails before its first word; "
        "there must be a key for each. Empty: nobody else. Null: as the deployment is set up.",
    )
    context_tokens: int | None = strawberry.field(
        default=UNSET, description="Of a prompt, 500 to 2,000,000. Null: as the deployment is set up."
    )


@strawberry.input
class CreateAssistantInput(_Choice):
    name: str = strawberry.field(description="1 to 100 characters.")
    provider: str | None = strawberry.field(
        default=UNSET,
        description="Who answers: `local`, `gemini`, `openai` or `anthropic`; there must be a key for it. Null: the "
        "deployment's provider.",
    )
    model: str | None = strawberry.field(
        default=UNSET,
        description="A model of that provider, which is asked whether it has it. Null: the provider's default model.",
    )
    temperature: float | None = strawberry.field(
        default=UNSET, description="0 to 2, with `anthropic` 0 to 1; 0.2 by default."
    )
    cache_answers: bool | None = strawberry.field(
        default=UNSET, description="Whether an answer to the same prompt may be given again; true by default."
    )
    document_scope: DocumentScope | None = strawberry.field(default=UNSET, description="ALL by default.")
    document_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="Its documents, which alone are searched where the scope is ASSIGNED. At most 100."
    )


@strawberry.type
class CreateAssistantPayload:
    assistant: Assistant


@strawberry.input(description="What is not given stays as it is.")
class UpdateAssistantInput(_Choice):
    assistant_id: strawberry.ID
    name: str | None = strawberry.field(default=UNSET, description="1 to 100 characters.")
    provider: str | None = strawberry.field(
        default=UNSET,
        description="As in `createAssistant`. Another one than before, without a model, has its default model.",
    )
    model: str | None = strawberry.field(
        default=UNSET, description="As in `createAssistant`. Null: the provider's default model."
    )
    temperature: float | None = strawberry.field(default=UNSET, description="0 to 2, with `anthropic` 0 to 1.")
    cache_answers: bool | None = strawberry.field(
        default=UNSET, description="Whether an answer to the same prompt may be given again."
    )
    document_scope: DocumentScope | None = UNSET
    document_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="All of its documents, at most 100, in the place of those that it has."
    )
    add_document_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="Documents beside those that it has, at most 100 at a time."
    )
    remove_document_ids: list[strawberry.ID] | None = strawberry.field(
        default=UNSET, description="Documents of those that it has, at most 100 at a time."
    )


@strawberry.type
class UpdateAssistantPayload:
    assistant: Assistant


@strawberry.input
class DeleteAssistantInput:
    assistant_id: strawberry.ID
    replacement_assistant_id: strawberry.ID | None = strawberry.field(
        default=None, description="Who its conversations go on with; by default the organisation's oldest other one."
    )


@strawberry.type
class DeleteAssistantPayload:
    assistant_id: strawberry.ID
    replacement: Assistant = strawberry.field(description="Who its conversations go on with.")


CreateAssistantResult = Annotated[
    CreateAssistantPayload | NotFound | InvalidInput | Conflict, strawberry.union("CreateAssistantResult")
]
UpdateAssistantResult = Annotated[
    UpdateAssistantPayload | NotFound | InvalidInput | Conflict, strawberry.union("UpdateAssistantResult")
]
DeleteAssistantResult = Annotated[
    DeleteAssistantPayload | NotFound | InvalidInput | Conflict, strawberry.union("DeleteAssistantResult")
]


def _given(input: CreateAssistantInput | UpdateAssistantInput) -> Given:
    values = ((name, getattr(input, name)) for name in _COLUMNS)
    return cast(
        Given,
        {name: value for name, value in values if value is not UNSET and (value is not None or name in _OPTIONAL)},
    )


@strawberry.type
class AssistantMutations:
    @strawberry.mutation(description="Make an assistant. Needs the role BUSINESS.")
    async def create_assistant(self, info: Info, input: CreateAssistantInput) -> CreateAssistantResult:
        result: Any = await assistants.create_assistant(info.context, _given(input), input.document_ids or ())
        made = type(result) is AssistantRecord
        return CreateAssistantPayload(assistant=result) if made else result

    @strawberry.mutation(
        description="Change an assistant: it counts from the next answer that is begun, in all its conversations. "
        "Needs the role BUSINESS."
    )
    async def update_assistant(self, info: Info, input: UpdateAssistantInput) -> UpdateAssistantResult:
        change = ScopeChange(
            all=None if input.document_ids is UNSET else input.document_ids,
            added=input.add_document_ids or (),
            removed=input.remove_document_ids or (),
        )
        result: Any = await assistants.update_assistant(info.context, input.assistant_id, _given(input), change)
        changed = type(result) is AssistantRecord
        return UpdateAssistantPayload(assistant=result) if changed else result

    @strawberry.mutation(
        description="Remove an assistant. Its conversations stay, and go on with another one; the last assistant "
        "cannot be removed. Needs the role BUSINESS."
    )
    async def delete_assistant(self, info: Info, input: DeleteAssistantInput) -> DeleteAssistantResult:
        result: Any = await assistants.delete_assistant(
            info.context, input.assistant_id, input.replacement_assistant_id
        )
        if isinstance(result, assistants.Removed):
            replacement: Any = result.replacement
            return DeleteAssistantPayload(assistant_id=strawberry.ID(result.assistant_id), replacement=replacement)
        return result  # type: ignore[no-any-return]
