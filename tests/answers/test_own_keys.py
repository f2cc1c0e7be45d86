"""Organisations' own keys for hosted models: kept sealed, used for their own answers alone, and shown to nobody."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from choosing import ask, assistant, create
from conversing import attempts, kinds
from cryptography.fernet import Fernet

from app.provider_keys_command import _rotate
from core.errors import ConfigurationError
from core.sealing import SealBrokenError, Sealer
from core.settings import Settings
from openai_server import Done, OpenAIServer, Refuse, Say, Step, Usage
from owner import as_owner, until
from product import Person, Product, running_product
from providers import own_keys
from wire import gemini, in_time, openai

QUESTION = "When was Vexholm founded?"
ANSWER: list[Step] = [Say("In 1432."), Say(finish="stop"), Usage(10, 2), Done()]
KEY, OTHER_KEY, PLATFORM_KEY = "sk-tenant-0123456789-abcd", "sk-other-9876543210-wxyz", "sk-platform-5555"
ERRORS = "... on UserError { code message } ... on InvalidInput { field }"
SET = f"""mutation($input: SetProviderKeyInput!) {{ setProviderKey(input: $input) {{ __typename
  ... on SetProviderKeyPayload {{ providerKey {{ provider hint setAt }} }} {ERRORS} }} }}"""
REMOVE = f"""mutation($input: RemoveProviderKeyInput!) {{ removeProviderKey(input: $input) {{ __typename
  ... on RemoveProviderKeyPayload {{ provider }} {ERRORS} }} }}"""
PROVIDERS = "{ viewer { providers { name defaultModel platformKey ownKey { provider hint } } } }"


@pytest.fixture(scope="module")
async def made(lasting: Settings) -> AsyncIterator[tuple[OpenAIServer, Settings]]:
    async with openai(lasting, openai_api_key=PLATFORM_KEY) as both:
        yield both


@pytest.fixture(scope="module")
async def own(made: tuple[OpenAIServer, Settings]) -> AsyncIterator[Product]:
    async with running_product(made[1], worker=False) as running:
        yield running


@pytest.fixture
def server(made: tuple[OpenAIServer, Settings]) -> OpenAIServer:
    """The vendor, as new. Keys that look up models are seen, too."""
    made[0].renew()
    made[0].script, made[0].models_status = list(ANSWER), 200
    return made[0]


@pytest.fixture
async def person(own: Product, server: OpenAIServer) -> Person:
    return await own.sign_up()


@contextmanager
def written() -> Iterator[io.StringIO]:
    """What the process logs, its libraries' debugging among it."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    handler.setFormatter(next(one.formatter for one in root.handlers if type(one) is logging.StreamHandler))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


async def set_key(person: Person, key: str = KEY, provider: str = "openai") -> dict[str, Any]:
    """The result of `setProviderKey`."""
    return (await person.query(SET, input={"provider": provider, "key": key}))["setProviderKey"]  # type: ignore[no-any-return]


async def remove_key(person: Person, provider: str = "openai") -> dict[str, Any]:
    """The result of `removeProviderKey`."""
    return (await person.query(REMOVE, input={"provider": provider}))["removeProviderKey"]  # type: ignore[no-any-return]


def keys(server: OpenAIServer) -> list[str | None]:
    """The keys that questions came with, in order."""
    return [asked.headers.get("authorization") for asked in server.asked]


async def answered(person: Person) -> dict[str, Any]:
    """The last event of an answer."""
    return (await in_time(person.ask(QUESTION)))[-1]


async def test_a_key_of_one_s_own_is_used_in_the_place_of_the_platform_s_until_it_is_removed(
    server: OpenAIServer, person: Person
) -> None:
    await answered(person)
    assert (await set_key(person))["__typename"] == "SetProviderKeyPayload"
    await answered(person)
    assert (await set_key(person, OTHER_KEY))["providerKey"]["hint"] == "wxyz"
    await answered(person)
    assert await remove_key(person) == {"__typename": "RemoveProviderKeyPayload", "provider": "openai"}
    await answered(person)
    assert keys(server) == [f"Bearer {key}" for key in (PLATFORM_KEY, KEY, OTHER_KEY, PLATFORM_KEY)]
    assert (await remove_key(person))["__typename"] == "NotFound"


async def test_each_organisation_s_key_is_used_for_its_own_answers_alone(server: OpenAIServer, own: Product) -> None:
    first, second, third = [await own.sign_up() for _ in range(3)]
    await set_key(first, KEY)
    await set_key(second, OTHER_KEY)
    for person in (first, second, third, second, first):
        await answered(person)
    expected = (KEY, OTHER_KEY, PLATFORM_KEY, OTHER_KEY, KEY)
    assert keys(server) == [f"Bearer {key}" for key in expected]


async def test_a_foreign_key_opens_for_nobody_else_even_in_one_s_own_row(server: OpenAIServer, own: Product) -> None:
    theirs, mine = await own.sign_up(), await own.sign_up()
    await set_key(theirs, KEY)
    await set_key(mine, OTHER_KEY)
    # As only somebody could who writes to the database behind the product's back.
    stolen = (
        "UPDATE provider_keys SET sealed = (SELECT sealed FROM provider_keys WHERE tenant_id = $1) WHERE tenant_id = $2"
    )
    await as_owner(own.settings, stolen, theirs.tenant_id, mine.tenant_id)
    failed = await answered(mine)
    assert (failed["failure"]["code"], failed["failure"]["retryable"]) == ("PROVIDER_AUTH", False)
    assert (
        failed["failure"]["message"] == "Your organisation's own key for openai cannot be read any more. Set it again."
    )
    assert server.asked == []
    await answered(theirs)
    assert keys(server) == [f"Bearer {KEY}"]


async def test_nobody_reads_a_foreign_key_s_end(own: Product, server: OpenAIServer) -> None:
    theirs, mine = await own.sign_up(), await own.sign_up()
    await set_key(theirs)
    shown = {one["name"]: one["ownKey"] for one in (await mine.query(PROVIDERS))["viewer"]["providers"]}
    assert shown == {"local": None, "gemini": None, "openai": None, "anthropic": None}
    assert (await remove_key(mine))["__typename"] == "NotFound"
    shown = {one["name"]: one["ownKey"] for one in (await theirs.query(PROVIDERS))["viewer"]["providers"]}
    assert shown["openai"] == {"provider": "openai", "hint": "abcd"}


async def test_it_is_stored_sealed_and_told_to_nobody_not_in_logs_audit_or_errors(
    server: OpenAIServer, person: Person
) -> None:
    with written() as log:
        bodies = [await set_key(person)]
        bodies.append(await person.query(PROVIDERS))
        bodies += await person.ask(QUESTION)
        server.script = [Refuse(401, {"message": f"Incorrect API key provided: {KEY}"})]
        bodies += await person.ask(QUESTION)
        server.models_status = 401
        bodies.append(await set_key(person, OTHER_KEY))
        # What does not fit the schema is told to its sender with the value, and to nobody else.
        await person.raw(SET, input={"provider": "openai", "key": [KEY, OTHER_KEY]})
    assert "operation" in log.getvalue()
    rows = await as_owner(
        person.product.settings, "SELECT p::text FROM provider_keys p WHERE tenant_id = $1", person.tenant_id
    )
    audit = await as_owner(
        person.product.settings, "SELECT a::text FROM audit_log a WHERE tenant_id = $1", person.tenant_id
    )
    assert len(rows) == 1
    for key in (KEY, OTHER_KEY):
        for text in (json.dumps(bodies), log.getvalue(), str(rows), str(audit)):
            assert key not in text
            assert key[:-4] not in text


async def test_the_audit_log_says_for_which_provider(server: OpenAIServer, person: Person) -> None:
    await set_key(person)
    server.models_status = 401
    await set_key(person, OTHER_KEY)
    await remove_key(person)
    await set_key(person, provider="local")
    statement = (
        "SELECT action, outcome, code, details->>'provider', cardinality(targets) FROM audit_log "
        "WHERE tenant_id = $1 AND action LIKE '%ProviderKey' ORDER BY id"
    )
    assert await as_owner(person.product.settings, statement, person.tenant_id) == [
        ("setProviderKey", "SUCCEEDED", None, "openai", 1),
        ("setProviderKey", "REFUSED", "INVALID_INPUT", "openai", 0),
        ("removeProviderKey", "SUCCEEDED", None, "openai", 1),
        ("setProviderKey", "REFUSED", "INVALID_INPUT", None, 0),
    ]


async def test_a_refused_key_is_named_by_whose_it_is(server: OpenAIServer, person: Person) -> None:
    server.script = [Refuse(401)]
    platform = (await answered(person))["failure"]
    await set_key(person)
    own = (await answered(person))["failure"]
    assert (platform["code"], own["code"]) == ("PROVIDER_AUTH", "PROVIDER_AUTH")
    assert platform["message"] == "The AI provider refused this deployment's key."
    assert own["message"] == "The AI provider refused your organisation's own key."
    server.script = [Refuse(429, {"code": "insufficient_quota", "message": "no"})]
    used_up = (await answered(person))["failure"]
    assert used_up["message"] == "The AI provider's quota for your organisation's own key is used up."


@pytest.mark.parametrize("key", ["short", "two words of it", "k" * 501, "schlüssel-123", "line\nbreak-12"])
async def test_what_is_no_key_is_refused_without_being_shown(server: OpenAIServer, person: Person, key: str) -> None:
    refused = await set_key(person, key)
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "key")
    assert key not in refused["message"]
    assert (
        await as_owner(person.product.settings, "SELECT 1 FROM provider_keys WHERE tenant_id = $1", person.tenant_id)
        == []
    )


async def test_the_vendor_is_asked_whether_it_takes_the_key(server: OpenAIServer, person: Person) -> None:
    for provider in ("local", "nobody"):
        assert (await set_key(person, provider=provider))["field"] == "provider"
    server.models_status = 401
    refused = await set_key(person)
    assert (refused["field"], refused["message"]) == ("key", "openai does not take this key.")
    # A vendor's bad day keeps nobody from it.
    server.models_status = 503
    assert (await set_key(person))["__typename"] == "SetProviderKeyPayload"


async def test_with_a_key_of_its_own_an_organisation_chooses_what_the_platform_has_no_key_for(
    lasting: Settings, tmp_path: Path
) -> None:
    without_key = {"gemini_api_key": None, "chat_provider": "local"}
    async with (
        gemini(lasting, tmp_path, **without_key) as (vendor, changed),
        running_product(changed, worker=False) as product,
    ):
        with_key, without = [await product.sign_up(f"{name}@own-keys.test") for name in ("with", "without")]
        assert (await create(without, provider="gemini"))["field"] == "provider"
        assert (await set_key(with_key, provider="gemini"))["__typename"] == "SetProviderKeyPayload"
        chosen = await assistant(with_key, provider="gemini")
        events = await in_time(ask(with_key, chosen, QUESTION))
        assert kinds(events)[-1] == "Completed"
        assert vendor.asked[-1].metadata["x-goog-api-key"] == KEY
        assert await attempts(with_key) == [(1, "gemini", "gemini-2.5-flash", None, "COMPLETE")]
        assert (await create(without, provider="gemini"))["field"] == "provider"
        # Whoever removes it has an assistant that fails by name.
        await remove_key(with_key, "gemini")
        failed = (await in_time(ask(with_key, chosen, QUESTION)))[-1]["failure"]
        assert (failed["code"], "none of its own" in failed["message"]) == ("PROVIDER_AUTH", True)


async def test_keys_are_sealed_anew_with_the_first_one_and_the_old_one_is_needed_no_more(
    server: OpenAIServer, own: Product
) -> None:
    people = [await own.sign_up() for _ in range(2)]
    for person, key in zip(people, (KEY, OTHER_KEY), strict=True):
        await set_key(person, key)
    old = own.settings.encryption_keys
    assert old is not None
    new = Fernet.generate_key().decode()
    both = Settings.model_validate(own.settings.model_dump() | {"encryption_keys": f"{new}, {old.get_secret_value()}"})
    alone = Settings.model_validate(own.settings.model_dump() | {"encryption_keys": new})
    with pytest.raises(
        ConfigurationError, match=r"ENCRYPTION_KEYS: \d+ keys are sealed with none of these \(0 are done\)"
    ):
        await _rotate(alone)
    told = await _rotate(both)
    assert int(told.split()[0]) >= 2
    assert told == await _rotate(both)
    async with running_product(alone, worker=False, flush=False) as product:
        server.asked.clear()
        for person in people:
            person.product = product
            assert (await answered(person))["__typename"] == "AnswerCompleted"
        assert keys(server) == [f"Bearer {KEY}", f"Bearer {OTHER_KEY}"]


async def test_without_keys_to_seal_with_none_is_kept(settings: Settings) -> None:
    changed = Settings.model_validate(settings.model_dump() | {"encryption_keys": None})
    async with running_product(changed, worker=False) as product:
        person = await product.sign_up()
        refused = await set_key(person)
        assert (refused["__typename"], "ENCRYPTION_KEYS" in refused["message"]) == ("Conflict", True)
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEYS: not set"):
        await _rotate(changed)


async def test_a_connection_that_is_used_is_never_closed_and_others_are_beyond_so_many(
    server: OpenAIServer, own: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_keys, "MOST_OPEN", 1)
    pool = own.services.providers._own
    people = [await own.sign_up() for _ in range(3)]
    for number, person in enumerate(people):
        await set_key(person, f"sk-of-number-{number}")
    first = await people[0].ask(QUESTION)
    sealed = [one for one in pool._open if one.tenant_id == people[0].tenant_id]
    assert (first[-1]["__typename"], len(sealed)) == ("AnswerCompleted", 1)
    async with pool.using(sealed[0]) as held:
        for person in people[1:]:
            assert (await answered(person))["__typename"] == "AnswerCompleted"
        assert pool._open[sealed[0]].chat is held

    async def one_is_left() -> bool:
        return len(pool._open) == 1

    await until(one_is_left)
    monkeypatch.setattr(own_keys, "IDLE_SECONDS", -1.0)
    await answered(people[1])
    await until(lambda: _empty(pool))


async def _empty(pool: own_keys.OwnKeys) -> bool:
    return not pool._open


def test_what_is_sealed_opens_for_its_owner_alone_with_any_of_the_keys() -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    sealed = Sealer([old]).seal("a", KEY)
    both = Sealer([new, old])
    assert both.open("a", sealed) == KEY
    again = both.seal_anew(sealed)
    assert Sealer([new]).open("a", again) == KEY
    for sealer, owner, text in (
        (Sealer([new]), "a", sealed),
        (both, "b", sealed),
        (both, "a", sealed[:-2]),
        (both, "a", ""),
    ):
        with pytest.raises(SealBrokenError):
            sealer.open(owner, text)
    for wrong in ("", "short", f"{old},{new}"):
        with pytest.raises(ConfigurationError, match="ENCRYPTION_KEYS"):
            Sealer([wrong])
