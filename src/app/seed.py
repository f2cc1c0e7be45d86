"""The demo, made once through the product's own use cases: an organisation with two log-ins and three short documents,
and an administrator of the platform in its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import orjson

from app.services import api_services
from core.ids import NodeKind, TenantId, to_global
from core.security import hash_password
from core.settings import Settings
from datastores import members, people, sessions
from datastores.models import Role
from datastores.postgres import Purpose
from datastores.records import DocumentRecord
from resolvers.administrators import make_administrator
from resolvers.context import Context
from resolvers.documents import FINAL, Upload, follow_progress, upload_document
from resolvers.results import DuplicateDocument
from resolvers.services import Services
from resolvers.sessions import open_session

ORGANIZATION = "Colloquy Demo"
PASSWORD = "colloquy-demo"  # noqa: S105 - the demo's password is public by design
LOGINS = ((Role.BUSINESS, "business@demo.colloquy.example", "Bea"), (Role.USER, "user@demo.colloquy.example", "Uli"))
ADMIN_EMAIL = "admin@demo.colloquy.example"
DEMO_FOLDER = Path(__file__).resolve().parents[2] / "demo"
DOCUMENTS = ("colloquy-handbook.pdf", "security-and-tenancy.md", "faq.txt")


async def seed(settings: Settings) -> None:
    """Make what is missing of the demo and wait until its documents are searchable. Runs any number of times.

    In production nothing is made, and who was made when the same data served for development is kept out: the demo's
    password is public.
    """
    async with api_services(settings, sweeping=False) as services:
        in_production = settings.environment == "production"
        if not in_production:
            await _ensure_people(services)
            await _ensure_administrator(services)
        for email in (ADMIN_EMAIL, *(email for _, email, _ in LOGINS)):
            await _admit(services, email, admitted=not in_production)
        if in_production:
            (settings.data_dir / "demo.json").unlink(missing_ok=True)
            return
        context = Context(services, None, settings.resolved_public_url)
        try:
            await _sign_in(context)
            for number, name in enumerate(DOCUMENTS, start=1):
                await _ensure_document(context, DEMO_FOLDER / name)
                print(json.dumps({"stage": name, "done": number, "total": len(DOCUMENTS)}), flush=True)
        finally:
            await context.aclose()
    roles = [*((role, email) for role, email, _ in LOGINS), (Role.ADMIN, ADMIN_EMAIL)]
    logins = [{"role": role.name, "email": email, "password": PASSWORD} for role, email in roles]
    partial = settings.data_dir / "demo.json.part"
    partial.write_bytes(orjson.dumps({"logins": logins}))
    partial.replace(settings.data_dir / "demo.json")


async def _ensure_people(services: Services) -> None:
    async with services.postgres.platform(Purpose.SIGN_UP) as tx:
        (_, business, name), (role, user, user_name) = LOGINS
        found = await people.credentials_of(tx, business)
        if found is None:
            hashed = hash_password(PASSWORD)
            model_id = services.providers.embeddings().model_id
            owner = await people.add_tenant(
                tx,
                organization=ORGANIZATION,
                embedding_model_id=model_id,
                name=name,
                email=business,
                password_hash=hashed,
                email_verified=True,
            )
            assert owner is not None, "nobody else may make the demo's account"
            tenant_id = TenantId(owner.tenant_id)
            await people.add_user(
                tx, tenant_id, name=user_name, email=user, password_hash=hashed, role=role, email_verified=True
            )


async def _sign_in(context: Context) -> None:
    """As the one who uploads; past the limit on sign-ins, because whoever starts the product again and again may."""
    async with context.services.postgres.platform(Purpose.SIGN_IN) as tx:
        found = await people.credentials_of(tx, LOGINS[0][1])
    assert found is not None, "the demo's people are there"
    async with context.services.postgres.write(TenantId(found.tenant_id)) as tenant:
        user = await people.user_by_id(tenant, tenant.tenant_id, found.user_id)
        assert user is not None, "nobody deletes them between two statements"
        await open_session(context, tenant, user)


async def _ensure_administrator(services: Services) -> None:
    # Refused, where there is one: this is done at each start.
    await make_administrator(services, email=ADMIN_EMAIL, name="Ada", password=PASSWORD)


async def _admit(services: Services, email: str, *, admitted: bool) -> None:
    """Let somebody of the demo in, or keep them out."""
    async with services.postgres.platform(Purpose.SIGN_IN) as tx:
        found = await people.credentials_of(tx, email)
    if found is None:
        return
    tenant_id = TenantId(found.tenant_id)
    async with services.postgres.write(tenant_id) as tenant:
        await members.change_member(tenant, found.user_id, role=None, suspended=not admitted)
        live = await sessions.standing_ids(tenant, found.user_id)
    await services.standings.changed(tenant_id, live)


async def _ensure_document(context: Context, path: Path) -> None:
    result = await upload_document(context, Upload(path.name, _pieces(path)), name=None, assistant_id=None)
    document = result.document if isinstance(result, DuplicateDocument) else result
    if not isinstance(document, DocumentRecord):
        raise RuntimeError(f"The demo document {path.name} was refused: {result}")
    async for progress in await follow_progress(context, to_global(NodeKind.DOCUMENT, document.id)):
        if progress.document.status in FINAL:
            return


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(path.read_bytes)
