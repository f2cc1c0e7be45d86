"""`colloquy reembed`: the operator's way into another vector space."""

from __future__ import annotations

import pytest
import typer.testing

from app.cli import app
from core.errors import ConfigurationError
from core.ids import NodeKind, TenantId, new_id, to_global
from owner import as_owner
from product import Product
from resolvers.reembedding import reembed_all
from resolvers.results import InvalidInput, NotFound

LOCAL = "all-MiniLM-L6-v2"


async def test_one_organisation_or_all_are_led_into_another_space_once(own_product: Product) -> None:
    people = [await own_product.sign_up() for _ in range(3)]
    await as_owner(own_product.settings, "UPDATE tenants SET embedding_model_id = 'gone@3'")
    services = own_product.services
    assert await reembed_all(services, people[1].tenant_id, None) == [people[1].tenant_id]
    begun = await reembed_all(services, None, LOCAL)
    assert isinstance(begun, list)
    assert {person.tenant_id for person in people} >= set(begun) >= {people[0].tenant_id, people[2].tenant_id}
    rows = await as_owner(
        own_product.settings, "SELECT targets, actor_id FROM audit_log WHERE action = 'reembedDocuments' ORDER BY id"
    )
    assert rows[0] == ([to_global(NodeKind.TENANT, people[1].tenant_id)], None)


async def test_an_unknown_organisation_and_an_unknown_model_are_refused(product: Product) -> None:
    services = product.services
    assert await reembed_all(services, TenantId(new_id()), None) == NotFound.of("organisation")
    refused = await reembed_all(services, None, "gpt-4@7")
    assert isinstance(refused, InvalidInput)


@pytest.mark.parametrize("arguments", [[], ["--all", "--tenant", "ten_x"], ["--tenant", "usr_x"]])
def test_a_wrong_choice_is_one_line(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("SECRET_KEY", "x" * 32)
    result = typer.testing.CliRunner().invoke(app, ["reembed", *arguments])
    assert isinstance(result.exception, ConfigurationError)
    assert "--tenant" in str(result.exception)
