"""Assistants, made, changed and removed by those who manage them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from auditing import rows

from core.ids import NodeKind, new_id, to_global
from owner import as_owner, uuid_of
from product import START, Person, Product
from resolvers.assistants import MOST_ASSISTANTS

FIELDS = """id name instructions provider model temperature contextTokens cacheAnswers documentScope"""
ERRORS = "... on UserError { code message } ... on InvalidInput { field }"
CREATE = f"""mutation($input: CreateAssistantInput!) {{ createAssistant(input: $input) {{ __typename
  ... on CreateAssistantPayload {{ assistant {{ {FIELDS} }} }} {ERRORS} }} }}"""
UPDATE = f"""mutation($input: UpdateAssistantInput!) {{ updateAssistant(input: $input) {{ __typename
  ... on UpdateAssistantPayload {{ assistant {{ {FIELDS} }} }} {ERRORS} }} }}"""
DELETE = f"""mutation($input: DeleteAssistantInput!) {{ deleteAssistant(input: $input) {{ __typename
  ... on DeleteAssistantPayload {{ assistantId replacement {{ id }} }} {ERRORS} }} }}"""
ALL = f"{{ viewer {{ assistants {{ nodes {{ {FIELDS} }} }} }} }}"
SCOPE = "query($id: ID!) { viewer { documents(assistantId: $id) { nodes { id } } } }"
CONVERSATION = "query($id: ID!) { node(id: $id) { ... on Conversation { assistant { id } } } }"
DEFAULTS = {
    "instructions": "",
    "provider": None,
    "model": None,
    "temperature": 0.2,
    "contextTokens": None,
    "cacheAnswers": True,
    "documentScope": "ALL",
}


@pytest.fixture
async def person(product: Product) -> Person:
    """BUSINESS, of an organisation of their own."""
    return await product.sign_up()


async def result(person: Person, mutation: str, **fields: Any) -> dict[str, Any]:
    """What a mutation answers."""
    (found,) = (await person.query(mutation, input=fields)).values()
    return found  # type: ignore[no-any-return]


async def made(person: Person, **fields: Any) -> str:
    """The id of a new assistant."""
    found = await result(person, CREATE, **{"name": "Support", **fields})
    assert found["__typename"] == "CreateAssistantPayload", found
    return found["assistant"]["id"]  # type: ignore[no-any-return]


async def assistants(person: Person) -> list[dict[str, Any]]:
    """All, oldest first."""
    return (await person.query(ALL))["viewer"]["assistants"]["nodes"]  # type: ignore[no-any-return]


async def scope(person: Person, assistant_id: str) -> set[str]:
    """The documents that it draws on."""
    nodes = (await person.query(SCOPE, id=assistant_id))["viewer"]["documents"]["nodes"]
    return {node["id"] for node in nodes}


async def documents(person: Person, count: int) -> list[str]:
    """Ids of new documents."""
    return [(await person.upload(f"Text {n} {new_id()}".encode()))["document"]["id"] for n in range(count)]


async def test_a_new_assistant_has_what_was_given_and_defaults_for_the_rest(person: Person) -> None:
    plain = await result(person, CREATE, name="  Support ")
    whole = await result(
        person,
        CREATE,
        name="Legal",
        instructions="Be careful.",
        provider="local",
        model="extractive-1",
        temperature=1.5,
        contextTokens=900,
        cacheAnswers=False,
        documentScope="ASSIGNED",
    )
    assert plain["assistant"] == {"id": plain["assistant"]["id"], "name": "Support", **DEFAULTS}
    assert whole["assistant"] == {
        "id": whole["assistant"]["id"],
        "name": "Legal",
        "instructions": "Be careful.",
        "provider": "local",
        "model": "extractive-1",
        "temperature": 1.5,
        "contextTokens": 900,
        "cacheAnswers": False,
        "documentScope": "ASSIGNED",
    }
    assert (await assistants(person))[1:] == [plain["assistant"], whole["assistant"]]


async def test_what_is_not_given_stays_and_null_means_the_deployment_s_own(person: Person) -> None:
    values = {"provider": "local", "model": "extractive-1", "contextTokens": 900, "instructions": "Be kind."}
    assistant_id = await made(person, **values, cacheAnswers=False)
    before = next(one for one in await assistants(person) if one["id"] == assistant_id)
    renamed = await result(person, UPDATE, assistantId=assistant_id, name="Help", instructions=None, temperature=None)
    assert renamed["assistant"] == before | {"name": "Help"}
    freed = await result(person, UPDATE, assistantId=assistant_id, provider=None, contextTokens=None)
    # A model is its provider's.
    assert freed["assistant"] == before | {"name": "Help", "provider": None, "model": None, "contextTokens": None}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"name": ""}, "name", "between 1 and 100"),
        ({"name": "n" * 101}, "name", "at most 100"),
        ({"instructions": "i" * 8_001}, "instructions", "at most 8000"),
        ({"instructions": "a\0b"}, "instructions", "not text"),
        ({"provider": "nobody"}, "provider", "local, gemini, openai, anthropic"),
        ({"provider": "gemini"}, "provider", "no key for gemini"),
        ({"provider": "local", "model": "gpt-99"}, "model", "no model"),
        ({"provider": "local", "model": " "}, "model", "printable"),
        ({"model": "extractive-1"}, "model", "together with its provider"),
        ({"temperature": 2.1}, "temperature", "between 0 and 2"),
        ({"temperature": -0.1}, "temperature", "between 0 and 2"),
        ({"contextTokens": 499}, "contextTokens", "between 500"),
        ({"contextTokens": 2_000_001}, "contextTokens", "between 500"),
    ],
)
async def test_what_cannot_be_chosen_is_refused_by_field_and_changes_nothing(
    person: Person, fields: dict[str, Any], field: str, words: str
) -> None:
    assistant_id, before = await made(person), await assistants(person)
    for mutation, named in ((CREATE, {"name": "Other"}), (UPDATE, {"assistantId": assistant_id})):
        refused = await result(person, mutation, **{**named, **fields})
        assert (refused["__typename"], refused["code"], refused["field"]) == ("InvalidInput", "INVALID_INPUT", field)
        assert words in refused["message"]
    assert await assistants(person) == before


async def test_a_scope_is_set_and_added_to_and_taken_from(person: Person) -> None:
    first, second, third = await documents(person, 3)
    assistant_id = await made(person, documentScope="ASSIGNED", documentIds=[first, first, second])
    assert await scope(person, assistant_id) == {first, second}
    change = {"assistantId": assistant_id, "addDocumentIds": [second, third], "removeDocumentIds": [first]}
    assert (await result(person, UPDATE, **change))["__typename"] == "UpdateAssistantPayload"
    assert await scope(person, assistant_id) == {second, third}
    await result(person, UPDATE, assistantId=assistant_id, documentIds=[first])
    assert await scope(person, assistant_id) == {first}
    await result(person, UPDATE, assistantId=assistant_id, documentIds=[])
    assert await scope(person, assistant_id) == set()
    await result(person, UPDATE, assistantId=assistant_id, documentScope="ALL")
    assert await scope(person, assistant_id) == {first, second, third}


async def test_a_document_that_is_not_there_or_not_one_of_ours_leaves_the_scope_as_it_was(
    product: Product, person: Person
) -> None:
    (own,), (foreign,) = await documents(person, 1), await documents(await product.sign_up(), 1)
    assistant_id = await made(person, documentScope="ASSIGNED", documentIds=[own])
    for other in (foreign, to_global(NodeKind.DOCUMENT, new_id())):
        for fields in ({"documentIds": [other]}, {"addDocumentIds": [other], "name": "New"}):
            refused = await result(person, UPDATE, assistantId=assistant_id, **fields)
            assert (refused["__typename"], refused["message"]) == ("NotFound", "There is no such document.")
        assert (await result(person, CREATE, name="x", documentIds=[other]))["__typename"] == "NotFound"
    both = await result(person, UPDATE, assistantId=assistant_id, documentIds=[own], addDocumentIds=[own])
    wrong = await result(person, UPDATE, assistantId=assistant_id, removeDocumentIds=["doc_x"])
    assert [(one["__typename"], one["field"]) for one in (both, wrong)] == [
        ("InvalidInput", "documentIds"),
        ("InvalidInput", "removeDocumentIds"),
    ]
    assert await scope(person, assistant_id) == {own}
    assert [one["name"] for one in await assistants(person)] == ["Assistant", "Support"]


async def test_a_removed_assistant_s_conversations_go_on_with_another_one(person: Person) -> None:
    ((default, *_), gone, other) = await assistants(person), await made(person), await made(person, name="Other")
    conversations = []
    for _ in range(2):
        started = await person.query(START, input={"assistantId": gone})
        conversations.append(started["startConversation"]["conversation"]["id"])
    await person.ask("Is anybody there?", conversations[0])
    removed = await result(person, DELETE, assistantId=gone, replacementAssistantId=other)
    assert removed == {
        "__typename": "DeleteAssistantPayload",
        "assistantId": gone,
        "replacement": {"id": other},
    }
    for conversation in conversations:
        assert (await person.query(CONVERSATION, id=conversation))["node"]["assistant"]["id"] == other
        assert (await person.ask("And now?", conversation))[-1]["__typename"] == "AnswerCompleted"
    refused = await result(person, DELETE, assistantId=gone)
    assert refused["__typename"] == "NotFound"
    # Without a name it is the oldest.
    assert (await result(person, DELETE, assistantId=other))["replacement"]["id"] == default["id"]
    assert (await person.query(CONVERSATION, id=conversations[1]))["node"]["assistant"]["id"] == default["id"]


async def test_whoever_follows_a_conversation_is_told_of_its_new_assistant(person: Person) -> None:
    gone = await made(person)
    started = await person.query(START, input={"assistantId": gone})
    conversation = started["startConversation"]["conversation"]["id"]
    versions = "SELECT version, updated_version FROM conversations WHERE id = $1"
    ((before, _),) = await as_owner(person.product.settings, versions, uuid_of(conversation))
    await result(person, DELETE, assistantId=gone)
    assert await as_owner(person.product.settings, versions, uuid_of(conversation)) == [(before + 1, before + 1)]


async def test_the_last_assistant_stays_and_a_replacement_must_be_another_one(product: Product, person: Person) -> None:
    (last,) = await assistants(person)
    (foreign,) = await assistants(await product.sign_up())
    assert (await result(person, DELETE, assistantId=last["id"]))["__typename"] == "Conflict"
    own = {"assistantId": last["id"], "replacementAssistantId": last["id"]}
    assert (await result(person, DELETE, **own))["field"] == "replacementAssistantId"
    for other in (foreign["id"], to_global(NodeKind.ASSISTANT, new_id())):
        refused = await result(person, DELETE, assistantId=last["id"], replacementAssistantId=other)
        assert (refused["__typename"], refused["message"]) == ("NotFound", "There is no such assistant.")
    assert await assistants(person) == [last]


async def test_two_who_remove_each_other_s_replacement_leave_one(person: Person) -> None:
    (default, first) = (await assistants(person))[0]["id"], await made(person)
    results = await asyncio.gather(
        result(person, DELETE, assistantId=default, replacementAssistantId=first),
        result(person, DELETE, assistantId=first, replacementAssistantId=default),
    )
    assert sorted(one["__typename"] for one in results) == ["DeleteAssistantPayload", "NotFound"]
    assert len(await assistants(person)) == 1


async def test_conversations_that_are_started_while_their_assistant_goes_are_not_lost(person: Person) -> None:
    default, gone = (await assistants(person))[0]["id"], await made(person)
    started = [person.query(START, input={"assistantId": gone}) for _ in range(5)]
    removed, *begun = await asyncio.gather(
        result(person, DELETE, assistantId=gone), *started, *(person.query(START, input={}) for _ in range(2))
    )
    assert removed["__typename"] == "DeleteAssistantPayload"
    for one in begun:
        made_one = one["startConversation"]
        assert made_one["__typename"] in ("StartConversationPayload", "NotFound")
        if made_one["__typename"] == "StartConversationPayload":
            kept = (await person.query(CONVERSATION, id=made_one["conversation"]["id"]))["node"]
            assert kept["assistant"]["id"] == default


async def test_there_are_only_so_many(person: Person) -> None:
    statement = (
        "INSERT INTO assistants (tenant_id, id, name, instructions, temperature, document_scope, cache_answers) "
        "SELECT $1, gen_random_uuid(), 'x', '', 0.2, 'ALL', true FROM generate_series(1, $2::int)"
    )
    await as_owner(person.product.settings, statement, person.tenant_id, MOST_ASSISTANTS - 1)
    refused = await result(person, CREATE, name="One more")
    assert (refused["__typename"], refused["code"]) == ("Conflict", "CONFLICT")


async def test_the_audit_log_names_what_was_made_changed_and_removed_and_no_text(person: Person) -> None:
    default = (await assistants(person))[0]["id"]
    assistant_id = await made(person, name="Secret name", instructions="Secret rule", temperature=0.5)
    await result(person, UPDATE, assistantId=assistant_id, documentScope="ASSIGNED")
    await result(person, UPDATE, assistantId=assistant_id, temperature=7)
    await result(person, DELETE, assistantId=assistant_id, replacementAssistantId=default)
    found = [
        (row["action"], row["outcome"], row["code"], row["targets"], row["details"])
        for row in await rows(person)
        if row["action"].endswith("Assistant")
    ]
    assert found == [
        ("createAssistant", "SUCCEEDED", None, [assistant_id], {"temperature": 0.5}),
        ("updateAssistant", "SUCCEEDED", None, [assistant_id], {"documentScope": "ASSIGNED"}),
        ("updateAssistant", "REFUSED", "INVALID_INPUT", [assistant_id], {"temperature": 7}),
        ("deleteAssistant", "SUCCEEDED", None, [assistant_id, default], {}),
    ]
