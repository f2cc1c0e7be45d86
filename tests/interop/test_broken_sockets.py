"""graphql-ws when its socket does not last: the server restarts, the token expires."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from node_programs import started

from app.embedded.ports import free_port
from core.security import TokenSigner
from core.settings import Settings
from product import Person, running_product

pytestmark = pytest.mark.long

WORDS = 160
TEXT = (
    "This document is about Vexholm: " + "we go by it as it is up to us to do so or no if at an ox is in it " * 7 + "."
)
QUESTION = "What is this document about?"
TOKEN_SECONDS = 5
"""Less than an answer takes at 50 ms a word, and more than Node needs to start."""


def _slow(settings: Settings, milliseconds: float) -> Settings:
    """On one port, whenever it is started; with so much time between two words."""
    return settings.model_copy(update={"local_token_interval_ms": milliseconds, "port": free_port()})


async def _asked(person: Person) -> str:
    """The id of an answer that has `WORDS` words."""
    await person.ready_document(TEXT.encode())
    sent = await person.send(await person.conversation(), QUESTION)
    return sent["answer"]["id"]  # type: ignore[no-any-return]


async def test_it_connects_again_and_loses_nothing_when_the_server_restarts(settings: Settings, node: Path) -> None:
    slow = _slow(settings, 20)
    async with AsyncExitStack() as stack:
        async with running_product(slow) as product:
            person = await product.sign_up()
            answer = await _asked(person)
            arguments = (f"{product.url}/graphql", person.token, answer)
            client = await stack.enter_async_context(started(node, "graphql_ws.mjs", *arguments))
            assert await client.line() == "text"
        async with running_product(slow, flush=False):
            said = json.loads(await client.rest())
    # 1006: there was no server to connect to.
    assert (said["closed"][0], set(said["closed"][1:]) - {1006}) == (1012, set())
    assert said["connections"] == 2
    assert said["text"] == said["stored"]
    assert len(said["text"].split()) > WORDS


async def test_a_ping_renews_its_token_while_an_answer_goes_on(settings: Settings, node: Path) -> None:
    async with running_product(_slow(settings, 50)) as product:
        person = await product.sign_up()
        answer = await _asked(person)
        arguments = (f"{product.url}/graphql", _brief(person), answer, person.token)
        async with started(node, "graphql_ws.mjs", *arguments) as client:
            assert await client.line() == "text"
            said = json.loads(await client.rest())
    assert (said["pongs"], said["connections"], said["closed"]) == (["renewed"], 1, [])
    assert said["text"] == said["stored"]


def _brief(person: Person) -> str:
    """A token of the person's session that is soon over."""
    secret = person.product.settings.secret_key
    assert secret is not None
    signer = TokenSigner(secret.get_secret_value(), access_ttl=TOKEN_SECONDS)
    claims = person.product.services.signer.check_access(person.token)
    assert claims.user_id is not None
    return signer.issue_access(claims.user_id, claims.tenant_id, claims.session_id)[0]
