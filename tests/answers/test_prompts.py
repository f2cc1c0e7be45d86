"""The prompt library: versions, which of them an assistant says, and that a preview is what a model is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from choosing import ask, assistant, create, update

from answers.prompt import NO_ANSWER
from core.ids import NodeKind, new_id, to_global
from core.settings import Settings
from core.shipped_prompts import SHIPPED
from datastores.migrate import migrate
from openai_server import Done, OpenAIServer, Say, Step, Usage
from owner import as_owner, uuid_of
from product import Person, Product, running_product
from resolvers.prompts import MOST_PROMPTS, MOST_VERSIONS
from wire import openai

VEXHOLM = b"The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid.\n"
QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432 [1]."), Say(finish="stop"), Usage(1_000, 100), Done()]
ERRORS = "... on UserError { code message } ... on InvalidInput { field }"
FIELDS = "id name description text newest shipped"
CREATE = f"""mutation($input: CreatePromptInput!) {{ createPrompt(input: $input) {{ __typename
  ... on CreatePromptPayload {{ prompt {{ {FIELDS} }} }} {ERRORS} }} }}"""
UPDATE = f"""mutation($input: UpdatePromptInput!) {{ updatePrompt(input: $input) {{ __typename
  ... on UpdatePromptPayload {{ prompt {{ {FIELDS} }} }} {ERRORS} }} }}"""
LIBRARY = f"{{ viewer {{ prompts {{ nodes {{ {FIELDS} }} }} }} }}"
VERSIONS = """query($id: ID!, $first: Int, $after: String) { viewer {
  promptVersions(promptId: $id, first: $first, after: $after) {
  nodes { number text shipped } pageInfo { endCursor hasNextPage } } } }"""
RENDER = """query($assistant: ID!, $question: String!, $prompt: ID, $version: Int, $text: String) { viewer {
  renderPrompt(assistantId: $assistant, question: $question, promptId: $prompt, promptVersion: $version, text: $text) {
    system message provider model temperature passageCount passagesCut estimatedTokens contextTokens } } }"""


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting) as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[1]) as running:
        yield running


@pytest.fixture
def server(made: tuple[OpenAIServer, Settings]) -> OpenAIServer:
    made[0].renew()
    made[0].script = list(ANSWER)
    return made[0]


@pytest.fixture
async def person(own: Product, server: OpenAIServer) -> Person:
    return await own.sign_up()


async def library(person: Person) -> list[dict[str, Any]]:
    """All prompts."""
    return (await person.query(LIBRARY))["viewer"]["prompts"]["nodes"]  # type: ignore[no-any-return]


async def made_prompt(person: Person, text: str = "You are $assistant.", name: str = "Mine") -> str:
    """The id of a new prompt."""
    result = (await person.query(CREATE, input={"name": name, "text": text}))["createPrompt"]
    assert result["__typename"] == "CreatePromptPayload", result
    return result["prompt"]["id"]  # type: ignore[no-any-return]


async def change(person: Person, prompt_id: str, **fields: Any) -> dict[str, Any]:
    """The result of `updatePrompt`."""
    return (await person.query(UPDATE, input={"promptId": prompt_id, **fields}))["updatePrompt"]  # type: ignore[no-any-return]


async def versions(person: Person, prompt_id: str) -> list[dict[str, Any]]:
    """All versions, newest first."""
    return (await person.query(VERSIONS, id=prompt_id))["viewer"]["promptVersions"]["nodes"]  # type: ignore[no-any-return]


async def rendered(person: Person, assistant_id: str, question: str = QUESTION, **changes: Any) -> dict[str, Any]:
    """The preview."""
    found = await person.query(RENDER, assistant=assistant_id, question=question, **changes)
    return found["viewer"]["renderPrompt"]  # type: ignore[no-any-return]


def told(server: OpenAIServer) -> list[str]:
    """What the model was last asked: system prompt and message."""
    return [message["content"] for message in server.asked[-1].body["messages"]]


async def test_a_library_begins_with_the_shipped_prompts(person: Person) -> None:
    found = await library(person)
    assert [(one["name"], one["description"], one["text"]) for one in found] == [
        (shipped.name, shipped.description, shipped.text) for shipped in SHIPPED
    ]
    assert {(one["newest"], one["shipped"]) for one in found} == {(1, True)}


async def test_another_text_is_a_new_version_and_the_old_ones_stay_readable(person: Person) -> None:
    shipped = (await library(person))[1]
    first = await change(person, shipped["id"], text="Be brief.", name="Our desk")
    assert first["prompt"] == shipped | {"text": "Be brief.", "name": "Our desk", "newest": 2}
    assert (await change(person, shipped["id"], text="Be brief."))["prompt"]["newest"] == 2
    assert (await change(person, shipped["id"], description="Ours"))["prompt"]["newest"] == 2
    await change(person, shipped["id"], text="Be long.", newest=2)
    assert await versions(person, shipped["id"]) == [
        {"number": 3, "text": "Be long.", "shipped": False},
        {"number": 2, "text": "Be brief.", "shipped": False},
        {"number": 1, "text": shipped["text"], "shipped": True},
    ]
    page = (await person.query(VERSIONS, id=shipped["id"], first=2))["viewer"]["promptVersions"]
    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (2, True)
    rest = await person.query(VERSIONS, id=shipped["id"], after=page["pageInfo"]["endCursor"])
    assert [one["number"] for one in rest["viewer"]["promptVersions"]["nodes"]] == [1]
    late = await change(person, shipped["id"], text="Be wrong.", newest=2)
    assert (late["__typename"], "newest version is 3" in late["message"]) == ("Conflict", True)


async def test_two_who_change_a_prompt_at_once_make_two_versions(person: Person) -> None:
    prompt_id = await made_prompt(person)
    await asyncio.gather(*(change(person, prompt_id, text=f"Text {number}") for number in range(4)))
    found = await versions(person, prompt_id)
    assert [one["number"] for one in found] == [5, 4, 3, 2, 1]
    assert {one["text"] for one in found[:4]} == {f"Text {number}" for number in range(4)}


async def test_an_edit_is_nobody_else_s(own: Product, person: Person) -> None:
    other = await own.sign_up()
    mine, theirs = (await library(person))[0], (await library(other))[0]
    assert mine["id"] != theirs["id"]
    await change(person, mine["id"], text="Mine alone.")
    assert (await library(other))[0] == theirs
    refused = await change(person, theirs["id"], text="Theirs no more.")
    assert (refused["__typename"], refused["message"]) == ("NotFound", "There is no such prompt.")
    assert (await create(person, promptId=theirs["id"]))["__typename"] == "NotFound"
    assert await versions(other, theirs["id"]) == [{"number": 1, "text": theirs["text"], "shipped": True}]
    for query in (VERSIONS, "query($id: ID!) { viewer { promptVersions(promptId: $id) { nodes { number } } } }"):
        body = await person.raw(query, id=theirs["id"])
        assert body["errors"][0]["message"] == "There is no such prompt."


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"description": "d" * 501}, "description"),
        ({"text": " "}, "text"),
        ({"text": "t" * 8_001}, "text"),
        ({"text": "a\0b"}, "text"),
        ({"text": "Hello $name"}, "text"),
        ({"text": "${assistant.__init__.__globals__}"}, "text"),
    ],
)
async def test_what_is_no_prompt_is_refused_by_field(person: Person, fields: dict[str, str], field: str) -> None:
    prompt_id = await made_prompt(person)
    before = await library(person)
    for query, values in ((CREATE, {"name": "n", "text": "t"}), (UPDATE, {"promptId": prompt_id})):
        ((refused),) = (await person.query(query, input={**values, **fields})).values()
        assert (refused["__typename"], refused["field"]) == ("InvalidInput", field)
    assert await library(person) == before


async def test_there_are_only_so_many_prompts_and_versions(person: Person) -> None:
    prompt_id, settings = await made_prompt(person), person.product.settings
    more = "UPDATE prompts SET newest = $2 WHERE id = $1"
    await as_owner(
        settings, "UPDATE prompt_versions SET number = $2 WHERE prompt_id = $1", uuid_of(prompt_id), MOST_VERSIONS
    )
    await as_owner(settings, more, uuid_of(prompt_id), MOST_VERSIONS)
    before = await library(person)
    assert (await change(person, prompt_id, text="One more", name="Changed"))["__typename"] == "Conflict"
    assert await library(person) == before
    rows = (
        "INSERT INTO prompts (tenant_id, id, name, description, newest) "
        "SELECT $1, gen_random_uuid(), 'x', '', 1 FROM generate_series(1, $2::int)"
    )
    await as_owner(settings, rows, person.tenant_id, MOST_PROMPTS - len(SHIPPED) - 1)
    refused = (await person.query(CREATE, input={"name": "n", "text": "t"}))["createPrompt"]
    assert refused["__typename"] == "Conflict"


async def test_an_assistant_says_the_newest_version_or_the_one_that_it_names(
    server: OpenAIServer, person: Person
) -> None:
    prompt_id = await made_prompt(person, "First of $assistant.")
    newest = await assistant(person, name="Ada", promptId=prompt_id)
    fixed = await assistant(person, name="Ben", promptId=prompt_id, promptVersion=1)
    for expected in ("First of Ada.", "Second of Ada."):
        await ask(person, newest, QUESTION)
        assert told(server)[0].startswith(expected)
        await ask(person, fixed, QUESTION)
        assert told(server)[0].startswith("First of Ben.")
        await change(person, prompt_id, text="Second of $assistant.")
    await update(person, newest, promptId=None)
    await ask(person, newest, QUESTION)
    assert told(server)[0].startswith("You are Ada. You answer questions for people of Org")


async def test_a_version_is_a_prompt_s_and_another_prompt_begins_with_its_newest(person: Person) -> None:
    first, second = await made_prompt(person), await made_prompt(person)
    await change(person, second, text="Two")
    assert (await create(person, promptVersion=1))["field"] == "promptVersion"
    assert (await create(person, promptId=first, promptVersion=2))["field"] == "promptVersion"
    assert (await create(person, promptId="prm_x"))["field"] == "promptId"
    missing = await create(person, promptId=to_global(NodeKind.PROMPT, new_id()))
    assert (missing["__typename"], missing["message"]) == ("NotFound", "There is no such prompt.")
    chosen = await assistant(person, promptId=first, promptVersion=1)
    await update(person, chosen, promptId=second)
    query = "query($id: ID!) { node(id: $id) { ... on Assistant { promptId promptVersion } } }"
    assert (await person.query(query, id=chosen))["node"] == {"promptId": second, "promptVersion": None}
    await update(person, chosen, promptVersion=1)
    assert (await person.query(query, id=chosen))["node"] == {"promptId": second, "promptVersion": 1}
    await update(person, chosen, promptId=None)
    assert (await person.query(query, id=chosen))["node"] == {"promptId": None, "promptVersion": None}


@pytest.mark.parametrize("fields", [{}, {"contextTokens": 600}, {"temperature": 0.9, "language": "Swedish"}])
async def test_a_preview_is_to_the_letter_what_the_model_is_asked(
    server: OpenAIServer, person: Person, fields: dict[str, Any]
) -> None:
    for number in range(3):
        await person.ready_document(VEXHOLM + f"Vexholm was founded, says source {number}.".encode() * 20)
    prompt_id = await made_prompt(person, "$assistant of $organization on $date in $language for $$0.")
    chosen = await assistant(person, name="Ada $date", promptId=prompt_id, instructions="Be $kind.", **fields)
    shown = await rendered(person, chosen)
    assert server.asked == []
    await ask(person, chosen, QUESTION)
    assert told(server) == [shown["system"], shown["message"]]
    body = server.asked[-1].body
    assert (shown["model"], shown["temperature"]) == (body["model"], body["temperature"])
    today = datetime.now(UTC).date().isoformat()
    language = fields.get("language", "the language of the question")
    first = shown["system"].splitlines()[0]
    assert first.startswith("Ada $date of Org ")
    assert first.endswith(f" on {today} in {language} for $0.")
    assert NO_ANSWER in shown["system"]
    assert shown["system"].endswith("Be $kind.")
    assert shown["message"].startswith("Context:\n\n[1] notes.txt")
    assert shown["message"].count("\n\n[") + 1 >= shown["passageCount"] > 0
    assert shown["estimatedTokens"] >= (len(shown["system"]) + len(shown["message"])) / 3
    assert (shown["passagesCut"] > 0) is ("contextTokens" in fields)
    assert shown["contextTokens"] == fields.get("contextTokens", 8_000)


async def test_a_preview_shows_what_is_no_version_yet_and_changes_nothing(person: Person) -> None:
    prompt_id, chosen = await made_prompt(person, "One."), await assistant(person)
    await change(person, prompt_id, text="Two.")
    before = await library(person)
    for changes, expected in (
        ({"text": "Draft of $assistant."}, "Draft of Support."),
        ({"prompt": prompt_id}, "Two."),
        ({"prompt": prompt_id, "version": 1}, "One."),
    ):
        assert (await rendered(person, chosen, **changes))["system"].startswith(expected)
    assert await library(person) == before


async def test_what_cannot_be_shown_is_told(person: Person) -> None:
    prompt_id, chosen = await made_prompt(person), await assistant(person, contextTokens=500)
    values = {"assistant": chosen, "question": QUESTION}
    for changes, words in (
        ({"question": " "}, "`question` is empty"),
        ({"question": "word " * 600}, "longer than the model takes"),
        ({"assistant": to_global(NodeKind.ASSISTANT, new_id())}, "no such assistant"),
        ({"prompt": to_global(NodeKind.PROMPT, new_id())}, "no such prompt"),
        ({"prompt": prompt_id, "version": 2}, "no such version"),
        ({"version": 1}, "needs `promptId`"),
        ({"text": "Hello $name"}, "There is no $name"),
    ):
        (error,) = (await person.raw(RENDER, **{**values, **changes}))["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        assert words in error["message"]


async def test_a_release_gives_its_prompts_to_those_who_have_not_written_their_own(
    own: Product, person: Person
) -> None:
    (first, second, third, *_), settings = await library(person), own.settings
    await change(person, second["id"], text="Ours.")
    older = "UPDATE prompt_versions SET text = 'Of an older release.' WHERE shipped AND prompt_id = ANY($1::uuid[])"
    await as_owner(settings, older, [uuid_of(first["id"]), uuid_of(second["id"])])
    await as_owner(settings, "DELETE FROM prompts WHERE id = $1", uuid_of(third["id"]))
    for _ in range(2):
        await migrate(settings)
        assert [(one["number"], one["text"]) for one in await versions(person, first["id"])] == [
            (2, first["text"]),
            (1, "Of an older release."),
        ]
        assert [one["text"] for one in await versions(person, second["id"])] == ["Ours.", "Of an older release."]
        found = await library(person)
        assert [one["name"] for one in found].count(third["name"]) == 1
        assert len(found) == len(SHIPPED)
