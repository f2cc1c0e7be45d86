"""The prompt library of an organisation, and what a model would be asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from answers.budget import Fitted
from answers.prompt import Voice, build_request, template_problem
from answers.sources import joined
from answers.token_counts import estimated, fit_counted
from core.errors import FailureError, RequestError
from core.ids import NodeKind, new_id
from datastores import assistants, people, prompts
from datastores.pages import Page, PageRequest
from datastores.prompts import PromptRecord
from datastores.records import AssistantRecord, PassageRecord, PromptVersionRecord
from providers.base import ChatRequest
from providers.own_keys import OwnKey
from resolvers.arguments import argument_id, input_id
from resolvers.context import Context
from resolvers.model_choice import own_key
from resolvers.permissions import Operation
from resolvers.reading import found_passages, question_problem
from resolvers.results import Conflict, InvalidInput, NotFound
from resolvers.texts import is_blank, is_storable, refused_name

NAME_CHARS = 100
DESCRIPTION_CHARS = 500
TEXT_CHARS = 8_000
MOST_PROMPTS = 200
MOST_VERSIONS = 1_000


@dataclass(slots=True)
class Rendered:
    """What a model would be asked, to the letter, and how much of it there is."""

    request: ChatRequest
    provider: str
    passages_cut: int
    estimated_tokens: int
    context_tokens: int


async def library(context: Context, page: PageRequest) -> Page[PromptRecord]:
    """All prompts, those that came with the product first."""
    await context.authorise(Operation.VIEWER_PROMPTS)
    return await prompts.prompts(context.reads, page)


async def versions(context: Context, prompt_id: str, page: PageRequest) -> Page[PromptVersionRecord]:
    """All versions of a prompt, newest first. Raises `RequestError`."""
    await context.authorise(Operation.VIEWER_PROMPT_VERSIONS)
    wanted = argument_id(NodeKind.PROMPT, prompt_id)
    if await prompts.prompt_by_id(context.reads, wanted) is None:
        raise RequestError.bad_input("There is no such prompt.")
    return await prompts.versions(context.reads, wanted, page)


async def create_prompt(
    context: Context, *, name: str, description: str, text: str
) -> PromptRecord | InvalidInput | Conflict:
    """A new prompt with its first version."""
    await context.authorise(Operation.CREATE_PROMPT)
    if (refused := _refused(name, description, text)) is not None:
        return refused
    prompt_id = new_id()
    async with context.write() as tx:
        await assistants.hold_assistants(tx)
        if await prompts.count(tx) >= MOST_PROMPTS:
            return Conflict(f"This organisation has {MOST_PROMPTS} prompts, the most allowed.")
        await prompts.add_prompt(tx, prompt_id, name=name.strip(), description=description.strip(), text=text)
        context.acts_on(NodeKind.PROMPT, prompt_id)
        made = await prompts.prompt_by_id(tx, prompt_id)
    assert made is not None, "it has just been added"
    return made


async def update_prompt(
    context: Context, prompt_id: str, *, name: str | None, description: str | None, text: str | None, newest: int | None
) -> PromptRecord | NotFound | InvalidInput | Conflict:
    """Change what is given; another text is a new version. `newest` is the version that the change was made from."""
    await context.authorise(Operation.UPDATE_PROMPT)
    wanted = input_id(NodeKind.PROMPT, prompt_id, "promptId")
    if isinstance(wanted, InvalidInput):
        return wanted
    if (refused := _refused(name, description, text)) is not None:
        return refused
    given = {"name": name, "description": description}
    async with context.write() as tx:
        if not await prompts.hold_prompt(tx, wanted):
            return NotFound.of("prompt")
        before = await prompts.prompt_by_id(tx, wanted)
        assert before is not None, "nobody removes what we hold"
        if newest is not None and newest != before.newest:
            return Conflict(f"The newest version is {before.newest} by now. Look at it, and change that.")
        is_new = text is not None and text != before.text
        if is_new and before.newest >= MOST_VERSIONS:
            return Conflict(f"This prompt has {MOST_VERSIONS} versions, the most allowed. Make another one of it.")
        await prompts.change_prompt(tx, wanted, {key: one.strip() for key, one in given.items() if one is not None})
        if text is not None and is_new:
            await prompts.add_version(tx, wanted, before.newest + 1, text)
        changed = await prompts.prompt_by_id(tx, wanted)
    assert changed is not None, "nobody removes what we hold"
    return changed


async def render(
    context: Context, *, assistant_id: str, question: str, prompt_id: str | None, version: int | None, text: str | None
) -> Rendered:
    """What the assistant's model would be asked as the first question of a conversation.

    With another prompt, or with a text that is no version yet, if one is given. Raises `RequestError`.
    """
    await context.authorise(Operation.VIEWER_RENDER_PROMPT)
    if problem := question_problem(context, question, "question"):
        raise RequestError.bad_input(problem)
    if text is not None and (refused := _refused(None, None, text)) is not None:
        raise RequestError.bad_input(f"`text`: {refused.message}")
    if version is not None and prompt_id is None:
        raise RequestError.bad_input("`promptVersion` needs `promptId`.")
    wanted = argument_id(NodeKind.ASSISTANT, assistant_id)
    chosen = None if prompt_id is None else argument_id(NodeKind.PROMPT, prompt_id)
    assistant = await assistants.assistant_by_id(context.reads, wanted)
    if assistant is None:
        raise RequestError.bad_input("There is no such assistant.")
    if text is None:
        text = await _text(context, assistant, chosen, version)
    organization = (await people.tenant_of(context.reads)).name
    voice = Voice(assistant.name, organization, assistant.instructions, text, assistant.language)
    top_k = context.services.settings.retrieval_top_k
    own = await own_key(context, assistant.provider or context.services.settings.resolved_chat_provider)
    passages = await found_passages(context, question, top_k, assigned_to=assistant.assigned_to)
    await context.aclose()  # the model that counts may be a network away
    return await _rendered(context, assistant, voice, question, passages, own)


async def _text(context: Context, assistant: AssistantRecord, chosen: UUID | None, version: int | None) -> str | None:
    """The text of the chosen prompt, else of the assistant's; None where that is the product's own."""
    if chosen is None:
        chosen, version = assistant.prompt_id, assistant.prompt_version
    if chosen is None:
        return None
    found = await prompts.text_of(context.reads, chosen, version)
    if found is None:
        raise RequestError.bad_input("There is no such prompt, or it has no such version.")
    return found


async def _rendered(
    context: Context,
    assistant: AssistantRecord,
    voice: Voice,
    question: str,
    passages: list[PassageRecord],
    own: OwnKey | None,
) -> Rendered:
    settings, system = context.services.settings, voice.system(datetime.now(UTC).date())
    budget = assistant.context_tokens or settings.context_tokens
    provider = assistant.provider or settings.resolved_chat_provider

    async def count(counted: str) -> int | None:
        async with context.services.providers.using(provider, own) as chat:
            return await chat.count_tokens(counted, model=assistant.model or "")

    try:
        fitted: Fitted = await fit_counted(count, (system, question), passages, (), budget)
    except FailureError as error:
        raise RequestError.bad_input(error.message) from None
    request = build_request(
        question=question,
        sources=joined(fitted.passages),
        history=(),
        system=system,
        model=assistant.model or context.services.providers.default_model(provider),
        temperature=assistant.temperature,
    )
    return Rendered(request, provider, fitted.passages_cut, estimated(request), budget)


def _refused(name: str | None, description: str | None, text: str | None) -> InvalidInput | None:
    if name is not None and (refused := refused_name(name, NAME_CHARS)) is not None:
        return refused
    for field, value, most in (("description", description, DESCRIPTION_CHARS), ("text", text, TEXT_CHARS)):
        if value is None:
            continue
        if len(value) > most:
            return InvalidInput(f"It has {len(value)} characters; at most {most} are allowed.", field)
        if not is_storable(value):
            return InvalidInput("It contains characters that are not text.", field)
    if text is None:
        return None
    if is_blank(text):
        return InvalidInput("A prompt says something.", "text")
    problem = template_problem(text)
    return None if problem is None else InvalidInput(problem, "text")
