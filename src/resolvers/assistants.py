"""Assistants, as those who manage them make, change and remove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypedDict
from uuid import UUID

from core.ids import NodeKind, new_id
from datastores import assistants, prompts
from datastores.models import DocumentScope
from datastores.records import AssistantRecord
from datastores.transactions import WriteTransaction
from resolvers.arguments import input_id
from resolvers.context import Context
from resolvers.model_choice import Choice, refused_choice, refused_fallbacks
from resolvers.permissions import Operation
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.texts import is_storable, refused_name

NAME_CHARS = 100
INSTRUCTIONS_CHARS = 8_000
LANGUAGE_CHARS = 50
CONTEXT_TOKENS: Final = (500, 2_000_000)
"""The least leaves room for the rules and a question; no model reads more than the most."""
MOST_ASSISTANTS = 200
"""Of a tenant: every document that a USER reads is looked for in their scopes."""
DEFAULT_TEMPERATURE = 0.2


class Given(TypedDict, total=False):
    """What a client has set, by column; None where that means something: the deployment's or the provider's own."""

    name: str
    instructions: str
    prompt_id: str | UUID | None
    """Opaque as it is given, and then what it names."""
    prompt_version: int | None
    language: str | None
    provider: str | None
    model: str | None
    fallback_providers: list[str] | None
    temperature: float
    context_tokens: int | None
    cache_answers: bool
    document_scope: DocumentScope


@dataclass(frozen=True, slots=True)
class ScopeChange:
    """Opaque ids of documents: all of the scope, or what is added to it and removed from it."""

    all: Sequence[str] | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Scope:
    all: list[UUID] | None
    added: list[UUID]
    removed: list[UUID]


@dataclass(slots=True)
class Removed:
    """An assistant's end: its opaque id, and who its conversations go on with."""

    assistant_id: str
    replacement: AssistantRecord


async def create_assistant(
    context: Context, given: Given, documents: Sequence[str]
) -> AssistantRecord | NotFound | InvalidInput | Conflict:
    """A new assistant. What it is to be answered by is checked with the provider first."""
    await context.authorise(Operation.CREATE_ASSISTANT)
    scope = _parsed(ScopeChange(added=documents))
    if isinstance(scope, InvalidInput):
        return scope
    if (refused := _refused(given)) is not None:
        return refused
    if (refused := await refused_fallbacks(context, given.get("fallback_providers"))) is not None:
        return refused
    choice = Choice(given.get("provider"), given.get("model"), given.get("temperature", DEFAULT_TEMPERATURE))
    if (refused := await refused_choice(context, choice)) is not None:
        return refused
    assistant_id = new_id()
    async with context.write() as tx:
        if await assistants.hold_assistants(tx) >= MOST_ASSISTANTS:
            return Conflict(f"This organisation has {MOST_ASSISTANTS} assistants, the most allowed. Delete one first.")
        if (missing := await _missing(tx, scope)) is not None:
            return missing
        if (wrong := await _wrong_prompt(tx, given, None)) is not None:
            return wrong
        await assistants.add_assistant(tx, assistant_id, _columns(given))
        await assistants.assign(tx, assistant_id, scope.added)
        context.acts_on(NodeKind.ASSISTANT, assistant_id)
        made = await assistants.assistant_by_id(tx, assistant_id)
    assert made is not None, "it has just been added"
    return made


async def update_assistant(
    context: Context, assistant_id: str, given: Given, change: ScopeChange
) -> AssistantRecord | NotFound | InvalidInput | Conflict:
    """Change what is given. It counts from the next answer that is begun, in all conversations."""
    await context.authorise(Operation.UPDATE_ASSISTANT)
    wanted = input_id(NodeKind.ASSISTANT, assistant_id, "assistantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    scope = _parsed(change)
    if isinstance(scope, InvalidInput):
        return scope
    if (refused := _refused(given)) is not None:
        return refused
    found = await assistants.assistant_by_id(context.reads, wanted)
    if found is None:
        return NotFound.of("assistant")
    if (refused := await refused_fallbacks(context, given.get("fallback_providers"))) is not None:
        return refused
    given, before = _with_its_model(given, found), _choice(found)
    choice = _choice(found, given)
    if choice != before and (refused := await refused_choice(context, choice, before)) is not None:
        return refused
    async with context.write() as tx:
        held = await assistants.hold_assistant(tx, wanted)
        if held is None:
            return NotFound.of("assistant")
        if choice != before and _choice(held) != before:
            return Conflict("Somebody else has changed what this assistant is answered by. Look at it, and try again.")
        if (missing := await _missing(tx, scope)) is not None:
            return missing
        if (wrong := await _wrong_prompt(tx, given, held)) is not None:
            return wrong
        await assistants.change_assistant(tx, wanted, _columns(given))
        await _change_scope(tx, wanted, scope)
        changed = await assistants.assistant_by_id(tx, wanted)
    assert changed is not None, "nobody removes what we hold"
    return changed


async def delete_assistant(
    context: Context, assistant_id: str, replacement_id: str | None
) -> Removed | NotFound | InvalidInput | Conflict:
    """Remove an assistant. Its conversations go on with the replacement, by default the oldest other one."""
    await context.authorise(Operation.DELETE_ASSISTANT)
    wanted = input_id(NodeKind.ASSISTANT, assistant_id, "assistantId")
    if isinstance(wanted, InvalidInput):
        return wanted
    other: UUID | None = None
    if replacement_id is not None:
        parsed = input_id(NodeKind.ASSISTANT, replacement_id, "replacementAssistantId")
        if isinstance(parsed, InvalidInput):
            return parsed
        other = parsed
    if other == wanted:
        return InvalidInput("An assistant cannot take its own place.", "replacementAssistantId")
    async with context.write() as tx:
        await assistants.hold_assistants(tx)
        if await assistants.assistant_by_id(tx, wanted) is None:
            return NotFound.of("assistant")
        other = other or await assistants.other_assistant(tx, wanted)
        if other is None:
            return Conflict("An organisation has at least one assistant, and this is the last one.")
        replacement = await assistants.assistant_by_id(tx, other)
        if replacement is None:
            return NotFound.of("assistant")
        await assistants.remove_assistant(tx, wanted, other)
    return Removed(assistant_id, replacement)


def _refused(given: Given) -> InvalidInput | None:
    if "name" in given and (refused := refused_name(given["name"], NAME_CHARS)) is not None:
        return refused
    instructions = given.get("instructions", "")
    if len(instructions) > INSTRUCTIONS_CHARS:
        return InvalidInput(
            f"The instructions have {len(instructions)} characters; at most {INSTRUCTIONS_CHARS} are allowed.",
            "instructions",
        )
    if not is_storable(instructions):
        return InvalidInput("The instructions contain characters that are not text.", "instructions")
    language = given.get("language")
    if language is not None and (refused := refused_name(language, LANGUAGE_CHARS, "language")) is not None:
        return InvalidInput(f"A language has between 1 and {LANGUAGE_CHARS} printable characters.", "language")
    tokens, (least, most) = given.get("context_tokens"), CONTEXT_TOKENS
    if tokens is not None and not least <= tokens <= most:
        return InvalidInput(f"The tokens of a prompt are between {least} and {most}.", "contextTokens")
    return None


def _with_its_model(given: Given, found: AssistantRecord) -> Given:
    """A model is its provider's: another provider without a model has its default one."""
    if "model" in given or given.get("provider", found.provider) == found.provider:
        return given
    return {**given, "model": None}


def _choice(found: AssistantRecord, given: Given | None = None) -> Choice:
    """What it is answered by, once that is set which is given."""
    given = given or {}
    return Choice(
        given.get("provider", found.provider),
        given.get("model", found.model),
        given.get("temperature", found.temperature),
    )


def _columns(given: Given) -> dict[str, Any]:
    columns: dict[str, Any] = dict(given)
    return columns | {"name": given["name"].strip()} if "name" in given else columns


async def _wrong_prompt(
    tx: WriteTransaction, given: Given, before: AssistantRecord | None
) -> NotFound | InvalidInput | None:
    """Why the assistant cannot have this prompt. Another prompt without a version is the newest of it."""
    if "prompt_id" not in given and "prompt_version" not in given:
        return None
    held, held_version = (None, None) if before is None else (before.prompt_id, before.prompt_version)
    prompt_id = given.get("prompt_id", held)
    if isinstance(prompt_id, str):
        parsed = input_id(NodeKind.PROMPT, prompt_id, "promptId")
        if isinstance(parsed, InvalidInput):
            return parsed
        given["prompt_id"] = prompt_id = parsed
    version = given.get("prompt_version", held_version if prompt_id == held else None)
    given["prompt_version"] = version
    if prompt_id is None:
        return (
            None if version is None else InvalidInput("A version is named together with its prompt.", "promptVersion")
        )
    if await prompts.text_of(tx, prompt_id, None) is None:
        return NotFound.of("prompt")
    if await prompts.text_of(tx, prompt_id, version) is None:
        return InvalidInput("The prompt has no such version.", "promptVersion")
    return None


def _parsed(change: ScopeChange) -> _Scope | InvalidInput:
    lists: list[list[UUID]] = []
    for field, texts in (
        ("documentIds", change.all or ()),
        ("documentIds" if change.all is None else "addDocumentIds", change.added),
        ("removeDocumentIds", change.removed),
    ):
        ids = []
        for text in dict.fromkeys(texts):
            parsed = input_id(NodeKind.DOCUMENT, text, field)
            if isinstance(parsed, InvalidInput):
                return parsed
            ids.append(parsed)
        lists.append(ids)
    if change.all is not None and (change.added or change.removed):
        return InvalidInput("Give all documents of the scope, or what is added and removed, not both.", "documentIds")
    return _Scope(None if change.all is None else lists[0], lists[1], lists[2])


async def _missing(tx: WriteTransaction, scope: _Scope) -> NotFound | None:
    """What is said where one of the documents is not there. Taking one out that is gone is no mistake."""
    named = {*(scope.all or ()), *scope.added}
    if named and await assistants.hold_documents(tx, sorted(named)) != named:
        return NotFound.of("document")
    return None


async def _change_scope(tx: WriteTransaction, assistant_id: UUID, scope: _Scope) -> None:
    if scope.all is not None:
        await assistants.unassign(tx, assistant_id, but=scope.all)
        await assistants.assign(tx, assistant_id, scope.all)
    if scope.removed:
        await assistants.unassign(tx, assistant_id, only=scope.removed)
    await assistants.assign(tx, assistant_id, scope.added)
