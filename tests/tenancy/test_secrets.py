"""No line of the log has a secret in it: a canary in every text of every mutation, also beneath a fault."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import callers
import pytest
from as_owner import owner
from callers import CALLERS, Call, codes, missing_ids
from two_tenants import World, present

from core.ids import new_id
from product import Product
from resolvers.permissions import Operation

CANARY = "canary-in-a-cage-7f3a"
MUTATIONS = [one for one in Operation if one.value.field.startswith("Mutation.")]
SECRETS = """mutation($up: SignUpInput!) { signUp(input: $up) {
  ... on SignUpPayload { session { accessToken refreshToken } } } }"""
KEY = (
    """mutation { createApiKey(input: { name: "of a test", role: USER }) { ... on CreateApiKeyPayload { secret } } }"""
)


class _Canaries(dict[str, Any]):
    """Every text is a canary, but for addresses: those are no secrets, and the first letter is logged."""

    def get(self, name: str, default: Any = None) -> Any:
        return f"{new_id().hex}@example.test" if name == "email" else CANARY


@pytest.fixture
def written(own_product: Product) -> Iterator[io.StringIO]:
    """What the process writes to its log, to the letter."""
    root, text = logging.getLogger(), io.StringIO()
    formats = [handler.formatter for handler in root.handlers if type(handler) is logging.StreamHandler]
    handler = logging.StreamHandler(text)
    handler.setFormatter(formats[0])
    root.addHandler(handler)
    yield text
    root.removeHandler(handler)


@pytest.fixture(autouse=True)
def _every_text_is_a_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional inputs, too."""
    monkeypatch.setattr(callers, "TEXTS", _Canaries())
    monkeypatch.setattr(callers, "_needed", lambda _given: True)


async def _call_all(product: Product, world: World) -> None:
    """Each mutation, by a person who may and with a bad token."""
    tenant = present(world.first, product)
    strongest = next(caller for caller in CALLERS if caller.name == "ADMIN")
    for operation in MUTATIONS:
        call = Call.of(operation, missing_ids(tenant))
        assert CANARY in json.dumps(call.variables) or "String" not in call.query
        token = await strongest.token(product, tenant)
        await asyncio.gather(call.answer(product, token), call.answer(product, CANARY))


@pytest.mark.timeout(60)  # ten seconds on an idle machine
async def test_a_canary_in_every_text_of_every_mutation_is_in_no_line_of_the_log(
    own_product: Product, world: World, written: io.StringIO
) -> None:
    await _call_all(own_product, world)
    assert written.getvalue().count("operation") >= 2 * len(MUTATIONS)
    assert CANARY not in written.getvalue()


@pytest.mark.timeout(60)  # as above
async def test_nor_is_it_when_the_database_fails_beneath_them(
    own_product: Product, world: World, written: io.StringIO
) -> None:
    tenant = present(world.first, own_product)
    strongest = next(caller for caller in CALLERS if caller.name == "ADMIN")
    tokens = [await strongest.token(own_product, tenant) for _ in MUTATIONS]
    calls = [Call.of(operation, missing_ids(tenant)) for operation in MUTATIONS]
    for token in tokens:
        await own_product.post("{ viewer { user { id } } }", token=token)  # remembered: the fault comes later than that
    async with owner(own_product.settings) as connection:
        await connection.execute("ALTER TABLE users RENAME COLUMN password_hash TO no_longer")
        await connection.execute("ALTER TABLE refresh_tokens RENAME COLUMN token_hash TO no_longer")
        await connection.execute("ALTER TABLE conversations RENAME COLUMN title TO no_longer")
    answers = [await call.answer(own_product, token) for call, token in zip(calls, tokens, strict=True)]
    broken = [answer for answer in answers if "INTERNAL" in codes(answer)]
    assert len(broken) >= 4
    assert "no_longer" not in json.dumps(broken)
    assert "Traceback" in written.getvalue()
    assert CANARY not in written.getvalue()


async def test_secrets_that_are_handed_out_are_in_no_line_of_the_log(
    own_product: Product, world: World, written: io.StringIO
) -> None:
    values = {"organization": "Org", "name": "Pat", "email": "pat@example.test", "password": CANARY}
    session = (await own_product.post(SECRETS, {"up": values}))["data"]["signUp"]["session"]
    key = await present(world.first, own_product).business.query(KEY)
    for secret in (*session.values(), key["createApiKey"]["secret"]):
        assert secret
        await own_product.post("{ viewer { user { id } } }", token=secret)
        await own_product.post("{ viewer { user { id } } }", token=secret[:-2] + "xx")
        assert secret[:-2] not in written.getvalue()
