"""Two tenants on a running product, as the walk uses them: what one has, and the people of the other who try it."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from as_owner import AUDIT_LOG, TENANT_TABLES, contents, owner
from callers import Call, Caller
from two_tenants import Tenant
from walk import Named, Place, call, readings

from core.ids import NodeKind, to_global
from core.settings import Settings
from datastores.models import Role
from product import Product
from resolvers.permissions import Operation

TABLES = {NodeKind.AUDIT_ENTRY: AUDIT_LOG}
"""Where the objects of a kind are, unless the table is named after it: API_KEY, `api_keys`."""
ADMINISTRATION = {one.value.field for one in Operation if one.value.weakest is Role.ADMIN}
"""What crosses tenants by its purpose, and for administrators alone."""
SILENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Stranger:
    """Somebody of the other tenant, or nobody."""

    name: str
    token: str | None
    own: dict[NodeKind, str]
    """One object of each kind that they can read."""

    def may(self, field: str, kind: NodeKind | None = None) -> bool:
        """Whether this is the administrators' way across tenants, and theirs to go."""
        tenant_by_id = kind is NodeKind.TENANT and field in ("Query.node", "Query.nodes")
        return self.name == Role.ADMIN.value and (field in ADMINISTRATION or tenant_by_id)


@dataclass(frozen=True)
class Walk:
    """`theirs` has what the strangers, people of `mine`, must learn nothing of."""

    product: Product
    theirs: Tenant
    mine: Tenant
    owners: list[Stranger]
    """The people of `theirs`."""
    strangers: list[Stranger]
    foreign: Mapping[NodeKind, str]
    """One object of theirs of each kind."""
    marks: frozenset[str]
    """What is in no text of mine: their words, names, addresses and ids."""

    async def told(self, person: Stranger, place: Place, value: str, given: NodeKind | None = None) -> str:
        """What somebody is told who names this at a place, without the name and the request's id."""
        asked = call(Named(place, value, person.own, given))
        # A long one is shown cut.
        return re.sub("|".join(map(re.escape, (value, value[:57]))), "<named>", await self.answer(person, asked))

    async def answer(self, person: Stranger, asked: Call) -> str:
        """A whole response without the request's id; of a subscription the first frame."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS if asked.subscription else None):
                body = await asked.answer(self.product, person.token)
        except TimeoutError:
            body = {"silence": True}
        for error in body.get("errors") or ():
            error["extensions"].pop("requestId")
        return json.dumps(body, sort_keys=True)

    async def state(self) -> object:
        """All rows and files. A log of what was tried grows, but not theirs."""
        settings = self.product.settings
        rows = await contents(settings), await contents(settings, self.theirs.id, audit_log=True)
        return rows, sorted((settings.data_dir / "files").rglob("*"))


async def make_walk(product: Product, theirs: Tenant, mine: Tenant) -> Walk:
    """The two tenants with an administrator of the platform each, on the running product."""
    people = {}
    for tenant in (theirs, mine):
        admin = await Caller("ADMIN", Role.ADMIN).token(product, tenant)
        tokens = {"BUSINESS": tenant.business.token, "USER": tenant.user.token, "ADMIN": admin}
        people[tenant.subject] = [Stranger(name, token, await _own(product, token)) for name, token in tokens.items()]
    foreign = await _marks(product.settings, theirs) - await _marks(product.settings, mine)
    return Walk(
        product,
        theirs,
        mine,
        owners=people[theirs.subject],
        strangers=[*people[mine.subject], Stranger("nobody", None, people[mine.subject][0].own)],
        foreign=await _one_of_each_kind(product.settings, theirs),
        marks=frozenset(foreign),
    )


@contextmanager
def logged() -> Iterator[list[str]]:
    """Every line that is logged inside the block, with its traceback."""
    lines: list[str] = []
    formatter = logging.Formatter()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    root, handler = logging.getLogger(), Keep()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


async def _own(product: Product, token: str | None) -> dict[NodeKind, str]:
    """One object of each kind, found by reading all there is."""
    found: dict[NodeKind, str] = {}
    for asked in readings({}).values():
        text = json.dumps(await asked.answer(product, token))
        for prefix, identifier in re.findall(r"\b([a-z]+)_([0-9a-f]{32})\b", text):
            found.setdefault(NodeKind(prefix), f"{prefix}_{identifier}")
    return found


async def _one_of_each_kind(settings: Settings, tenant: Tenant) -> dict[NodeKind, str]:
    found = {}
    async with owner(settings) as connection:
        for kind in NodeKind:
            table = TABLES.get(kind, f"{kind.name.lower()}s")
            assert table in ("tenants", *TENANT_TABLES), f"say in TABLES where the objects of kind {kind.name} are"
            column = "id" if table == "tenants" else "tenant_id"
            row = await connection.fetchval(
                f"SELECT id FROM {table} WHERE {column} = $1 ORDER BY id LIMIT 1", tenant.id
            )
            assert row is not None, f"give the tenants of these tests a {kind.name}"
            found[kind] = to_global(kind, row)
    return found


async def _marks(settings: Settings, tenant: Tenant) -> set[str]:
    async with owner(settings) as connection:
        found = {tenant.subject, tenant.subject.lower(), tenant.id.hex, str(tenant.id)}
        for name, email in await connection.fetch("SELECT name, email FROM users WHERE tenant_id = $1", tenant.id):
            found |= {name, email}
        for table in TENANT_TABLES:
            for (identifier,) in await connection.fetch(f"SELECT id FROM {table} WHERE tenant_id = $1", tenant.id):
                found |= {identifier.hex, str(identifier)}
    return found


def content(marks: frozenset[str]) -> set[str]:
    """The marks without the ids, which whoever asks has named."""
    return {mark for mark in marks if not re.fullmatch(r"[0-9a-f-]{32,36}", mark)}
