"""`colloquy admin add`: administrators come from the server's operator."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app.embedded.running import with_embedded_servers
from app.seed import seed
from core.ids import NodeKind, to_global
from core.settings import Settings
from datastores.tenants import PLATFORM_TENANT
from owner import as_owner
from product import PASSWORD, Product
from resolvers.administrators import Administrator, add_administrator, raise_to_administrator
from resolvers.results import Conflict, InvalidInput, NotFound

SOURCES = Path(__file__).parents[2] / "src"
SIGN_IN = (
    """mutation($input: SignInInput!) { signIn(input: $input) { ... on SignInPayload { session { accessToken } } } }"""
)
VIEWER = "{ viewer { user { role name } tenant { id name } } }"
TENANTS = "{ viewer { tenants { nodes { id } } } }"


async def add(settings: Settings, *arguments: str, stdin: str) -> tuple[int | None, str, str]:
    """Run the command to its end: status, output, errors."""
    assert settings.secret_key is not None
    given = {
        "PYTHONPATH": str(SOURCES),
        "DATA_DIR": str(settings.data_dir),
        "DATABASE_URL": settings.database_url or "",
        "DATABASE_PLATFORM_URL": settings.database_platform_url or "",
        "REDIS_URL": settings.redis_url or "",
        "SECRET_KEY": settings.secret_key.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", "admin", "add", *arguments),
        env=os.environ | given,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(stdin.encode())
    return process.returncode, out.decode(), err.decode()


async def viewer(product: Product, email: str) -> dict[str, Any]:
    """What somebody is after signing in."""
    values = {"input": {"email": email, "password": PASSWORD}}
    token = (await product.post(SIGN_IN, values))["data"]["signIn"]["session"]["accessToken"]
    assert "errors" not in await product.post(TENANTS, token=token)
    return (await product.post(VIEWER, token=token))["data"]["viewer"]  # type: ignore[no-any-return]


async def accounts(product: Product) -> list[tuple[Any, ...]]:
    """Everything that the command could have changed."""
    return await as_owner(product.settings, "SELECT u::text, (SELECT count(*) FROM tenants) FROM users u ORDER BY id")


@pytest.mark.long
@pytest.mark.timeout(60)  # a command loads for seconds on a busy machine
async def test_the_first_administrator_is_made_with_a_password_from_standard_input(own_product: Product) -> None:
    before = await accounts(own_product)
    status, out, err = await add(own_product.settings, "ada@example.test", stdin="short\n")
    assert (status, out) == (2, "")
    assert err.startswith("colloquy: A password has between")
    assert await accounts(own_product) == before
    status, out, err = await add(own_product.settings, "Ada@example.test", "--name", "Ada", stdin=f"{PASSWORD}\n")
    assert (status, out) == (0, "ada@example.test is a new administrator, in the organisation Platform.\n")
    assert PASSWORD not in err
    assert await viewer(own_product, "ada@example.test") == {
        "user": {"role": "ADMIN", "name": "Ada"},
        "tenant": {"id": to_global(NodeKind.TENANT, PLATFORM_TENANT), "name": "Platform"},
    }


async def test_an_account_is_raised_where_it_is_and_keeps_its_password(product: Product) -> None:
    person = await product.sign_up()
    assert "errors" in await person.raw(TENANTS)
    raised = await raise_to_administrator(product.services, person.email.upper())
    assert isinstance(raised, Administrator)
    # Its open session may do it at once.
    assert "errors" not in await person.raw(TENANTS)
    seen = await viewer(product, person.email)
    assert (seen["user"]["role"], seen["tenant"]["name"]) == ("ADMIN", raised.organization)


async def test_administrators_share_one_organisation_whatever_others_call_theirs(product: Product) -> None:
    values = {"organization": "Platform", "name": "Eve", "email": "eve@example.test", "password": PASSWORD}
    sign_up = "mutation($input: SignUpInput!) { signUp(input: $input) { __typename } }"
    await product.post(sign_up, {"input": values})
    for email in ("first@example.test", "second@example.test"):
        await add_administrator(product.services, email=email, name="Ada", password=PASSWORD)
        assert (await viewer(product, email))["tenant"]["id"] == to_global(NodeKind.TENANT, PLATFORM_TENANT)
    rows = await as_owner(product.settings, "SELECT count(*) FROM assistants WHERE tenant_id = $1", PLATFORM_TENANT)
    assert rows == [(1,)]


async def test_what_is_refused_changes_nothing(own_product: Product) -> None:
    product = own_product  # the platform's organisation is not there yet
    person = await product.sign_up()
    before = await accounts(product)
    good = {"email": "new@example.test", "name": "Ada", "password": PASSWORD}
    for field, bad in (("email", "nobody"), ("name", ""), ("password", "short")):
        refused = await add_administrator(product.services, **good | {field: bad})
        assert isinstance(refused, InvalidInput)
    assert isinstance(await add_administrator(product.services, **good | {"email": person.email}), Conflict)
    assert isinstance(await raise_to_administrator(product.services, "nobody@example.test"), NotFound)
    assert isinstance(await raise_to_administrator(product.services, "nobody"), InvalidInput)
    assert await accounts(product) == before


async def suspend(product: Product, what: str, email: str) -> None:
    """Suspend the account or its organisation."""
    where = {"users": "email = $1", "tenants": "id = (SELECT tenant_id FROM users WHERE email = $1)"}[what]
    await as_owner(product.settings, f"UPDATE {what} SET suspended_at = now() WHERE {where}", email)


@pytest.mark.parametrize("what", ["users", "tenants"])
async def test_who_could_not_sign_in_is_raised_only_together_with_the_end_of_the_suspension(
    own_product: Product, what: str
) -> None:
    person = await own_product.sign_up()
    await suspend(own_product, what, person.email)
    before = await accounts(own_product)
    refused = await raise_to_administrator(own_product.services, person.email)
    assert isinstance(refused, Conflict)
    assert "is suspended" in refused.message
    assert "--resume" in refused.message
    assert await accounts(own_product) == before
    assert isinstance(await raise_to_administrator(own_product.services, person.email, resume=True), Administrator)
    assert (await viewer(own_product, person.email))["user"]["role"] == "ADMIN"


async def test_a_suspended_platform_gets_a_new_administrator_only_together_with_its_way_back(
    own_product: Product,
) -> None:
    await add_administrator(own_product.services, email="first@example.test", name="Ada", password=PASSWORD)
    await suspend(own_product, "tenants", "first@example.test")
    before = await accounts(own_product)
    new = {"email": "second@example.test", "name": "Ben", "password": PASSWORD}
    refused = await add_administrator(own_product.services, **new)
    assert isinstance(refused, Conflict)
    assert "The organisation Platform is suspended" in refused.message
    assert await accounts(own_product) == before
    assert isinstance(await add_administrator(own_product.services, **new, resume=True), Administrator)
    for email in ("first@example.test", "second@example.test"):
        assert (await viewer(own_product, email))["user"]["role"] == "ADMIN"
    actions = "SELECT action FROM audit_log WHERE tenant_id = $1 AND actor_id IS NULL ORDER BY id"
    assert [row[0] for row in await as_owner(own_product.settings, actions, PLATFORM_TENANT)][1:3] == [
        "addAdministrator",
        "resumeTenant",
    ]


def test_the_embedded_servers_of_the_data_folder_are_found_and_settings_come_first(tmp_path: Path) -> None:
    bare = Settings.model_construct(data_dir=tmp_path)
    assert with_embedded_servers(bare) == bare
    records = {
        "postgres": {"port": 5, "app": "a", "platform": "p", "owner": "o"},
        "redis": {"port": 6, "password": "r"},
    }
    for name, record in records.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "server.json").write_text(json.dumps(record))
    (tmp_path / "secret_key").write_text("a secret key that was made once\n")
    found = with_embedded_servers(bare)
    assert found.database_url == "postgresql://colloquy_app:a@127.0.0.1:5/colloquy"
    assert found.database_platform_url == "postgresql://colloquy_platform:p@127.0.0.1:5/colloquy"
    assert found.redis_url == "redis://:r@127.0.0.1:6/0"
    assert found.secret_key is not None
    assert found.secret_key.get_secret_value() == "a secret key that was made once"
    assert found.database_owner_url is None
    own = bare.model_copy(update={"database_url": "postgresql://own", "redis_url": "redis://own"})
    kept = with_embedded_servers(own)
    assert (kept.database_url, kept.redis_url) == ("postgresql://own", "redis://own")


@pytest.mark.long
@pytest.mark.timeout(60)  # it waits until the demo's documents are searchable, twice
async def test_the_demo_s_people_are_let_in_but_not_in_production(own_product: Product) -> None:
    settings = own_product.settings
    production = settings.model_copy(update={"environment": "production", "public_url": "https://colloquy.example"})
    demo = settings.data_dir / "demo.json"
    await seed(production)
    assert await as_owner(settings, "SELECT count(*) FROM users") == [(0,)]
    people = "SELECT role, suspended_at IS NOT NULL FROM users ORDER BY role"
    # Data that have served for development may be taken into production: their password is public.
    for environment, out in ((settings, False), (production, True), (settings, False)):
        await seed(environment)
        found = await as_owner(settings, people)
        assert sorted(found) == [("ADMIN", out), ("BUSINESS", out), ("USER", out)]
        assert demo.is_file() is not out
    assert [one["role"] for one in json.loads(demo.read_text())["logins"]] == ["BUSINESS", "USER", "ADMIN"]
