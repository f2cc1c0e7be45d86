"""No line of the log has a secret in it: a canary in every text of every mutation, also beneath a fault."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from mailbox import LINK, letters, nothing_waits
from typing import Any

import callers
import pytest
from as_owner import owner
from callers import CALLERS, Call, codes, missing_ids
from pydantic import SecretStr
from two_tenants import World, present

from core.ids import new_id
from core.settings import Settings
from mail_server import MailServer, mail_server
from owner import as_owner, set_verified, until
from product import Product, running_product
from resolvers.permissions import Operation

CANARY = "canary-in-a-cage-7f3a"
MUTATIONS = [one for one in Operation if one.value.field.startswith("Mutation.")]
SECRETS = """mutation($up: SignUpInput!) { signUp(input: $up) {
  ... on SignUpPayload { session { accessToken refreshToken } } } }"""
INVITE = """mutation($input: InviteMemberInput!) { inviteMember(input: $input) { __typename
  ... on UserError { code } } }"""
RESET = """mutation($input: RequestPasswordResetInput!) { requestPasswordReset(input: $input) { __typename } }"""
KEY = (
    """mutation { createApiKey(input: { name: "of a test", role: USER }) { ... on CreateApiKeyPayload { secret } } }"""
)


class _Canaries(dict[str, Any]):
    """Every text is a canary, but for addresses: those are no secrets, and the first letter is logged."""

    def get(self, name: str, default: Any = None) -> Any:
        return f"{new_id().hex}@example.test" if name == "email" else CANARY


@contextmanager
def _log() -> Iterator[io.StringIO]:
    """What the process writes to its log, to the letter: an API and a worker."""
    root, text = logging.getLogger(), io.StringIO()
    formats = [handler.formatter for handler in root.handlers if type(handler) is logging.StreamHandler]
    handler = logging.StreamHandler(text)
    handler.setFormatter(formats[0])
    handler.addFilter(lambda record: record.name != "mail.log")  # the stand-in mail server's own
    root.addHandler(handler)
    yield text
    root.removeHandler(handler)


@pytest.fixture
def written(own_product: Product) -> Iterator[io.StringIO]:
    """The log of the test's product."""
    with _log() as text:
        yield text


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
    assert len(broken) >= 3
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


async def _mailed(product: Product, server: MailServer, *addresses: str) -> list[str]:
    """The texts of the mails to these addresses, by whichever way they are sent; one to each."""
    if product.settings.smtp_url is None:
        return [(await letters(product, address, ""))[0] for address in addresses]

    def received() -> dict[str, str]:
        return {one.recipients[0]: str(one.message.get_content()) for one in server.received}

    async def arrived() -> bool:
        return set(addresses) <= set(received())

    await until(arrived)
    return [received()[address] for address in addresses]


@pytest.mark.parametrize("by", ["smtp", "files"])
async def test_what_the_worker_of_production_sends_and_reads_is_in_no_line_of_its_log(
    settings: Settings, by: str
) -> None:
    changes: dict[str, object] = {"environment": "production", "account_url": "https://app.example.test/account"}
    async with mail_server() as server:
        server.on_recipient = lambda address: f"550 no such user {address}" if address.startswith("refused") else None
        if by == "smtp":
            changes["smtp_url"] = SecretStr(f"smtp://127.0.0.1:{server.port}?tls=none")
            changes["mail_from"] = "colloquy@example.test"
        async with running_product(settings.model_copy(update=changes)) as product:
            with _log() as written:
                person = await product.sign_up("verify.me@example.test")
                await set_verified(person)
                for address in ("invited@example.test", "refused@example.test"):
                    await person.query(INVITE, input={"email": address, "name": CANARY, "role": "USER"})
                other = await product.sign_up("reset.me@example.test")
                await nothing_waits(product)
                await product.post(RESET, {"input": {"email": other.email}})
                await person.ready_document(f"The {CANARY} sings.".encode(), f"{CANARY}.txt")
                await person.upload(b"%PDF-1.7 " + CANARY.encode(), f"{CANARY}.pdf")
                texts = await _mailed(product, server, person.email, "invited@example.test", other.email)
                await nothing_waits(product)
                await until(lambda: _failed(product))
            log = written.getvalue()
    assert log.count("mail sent" if by == "smtp" else "mail written") >= 4
    assert ("mail given up" in log) == (by == "smtp")
    assert "document failed" in log
    for text in texts:
        found = LINK.search(text)
        assert found is not None
        assert found[3] not in log
    assert CANARY not in log
    for address in ("verify.me@", "invited@", "refused@", "reset.me@"):
        assert address not in log


async def _failed(product: Product) -> bool:
    statement = "SELECT count(*) FROM documents WHERE status = 'FAILED' AND name LIKE '%canary%'"
    return await as_owner(product.settings, statement) == [(1,)]
