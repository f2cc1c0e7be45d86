"""Mails as tests write, send and look at them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from app.services import job_services
from core.ids import TenantId, new_id
from core.mail import Mail
from core.settings import Settings
from datastores import outbox
from datastores.postgres import Purpose
from jobs.deliver_mail import deliver_mail, sweep_mail
from jobs.services import JobServices
from mail_server import MailServer
from owner import as_owner, until

LINK = "https://example.test/reset?token=8c7bK3n9Vq2LmZ0xW4tYpR6s"
ROWS = """SELECT id, attempts, last_error, payload::text, extract(epoch FROM next_try_at - now())::float
  FROM outbox WHERE topic = 'mail' ORDER BY id"""


@dataclass
class Row:
    """A mail in the outbox."""

    id: UUID
    attempts: int
    error: str | None
    payload: str
    due_in: float | None
    """Seconds until the next try; None when it was given up."""


@dataclass
class Post:
    """A tenant that writes mails, and a worker's services by hand."""

    services: JobServices
    settings: Settings
    tenant: TenantId

    async def write(self, *names: str, topic: str | None = None) -> list[UUID]:
        """Commit a mail for each name; nobody is woken."""
        ids = []
        async with self.services.postgres.write(self.tenant) as tx:
            for name in names:
                if topic is None:
                    ids.append(await outbox.add_mail(tx, self.tenant, mail_to(name)))
                else:
                    ids.append(await outbox.add(tx, self.tenant, topic, {"to": name}))
        return ids

    async def rows(self) -> list[Row]:
        """What waits in the outbox, or was given up."""
        return [Row(*row) for row in await as_owner(self.settings, ROWS)]

    async def change(self, assignment: str) -> None:
        """Change all mails behind everybody's back."""
        await as_owner(self.settings, f"UPDATE outbox SET {assignment} WHERE topic = 'mail'")

    async def due_now(self) -> None:
        """As if their time had come."""
        await self.change("next_try_at = now()")

    async def deliver(self) -> int:
        """Run the job here and now."""
        return await deliver_mail({"services": self.services})

    async def sweep(self) -> int:
        """Run the sweep here and now."""
        return await sweep_mail({"services": self.services})

    async def claim(self) -> outbox.ClaimedEntry | None:
        """Claim a mail as a worker does that is never heard of again."""
        async with self.services.postgres.platform(Purpose.RELAY) as tx:
            return await outbox.claim(tx, outbox.MAIL)


def mail_to(name: str) -> Mail:
    """A mail with a one-time link."""
    return Mail(f"{name}@example.test", f"For {name}", f"Hallo {name}: {LINK}\n")


def with_server(settings: Settings, server: MailServer, **changes: Any) -> Settings:
    """Settings of a product that sends its mail there."""
    url = SecretStr(f"smtp://127.0.0.1:{server.port}?tls=none")
    return settings.model_copy(update={"smtp_url": url, "mail_from": "Colloquy <post@example.test>", **changes})


async def a_tenant(settings: Settings) -> TenantId:
    """A tenant without anything."""
    tenant = TenantId(new_id())
    statement = "INSERT INTO tenants (id, name, embedding_model_id, keep_originals) VALUES ($1, 'Org', 'model', true)"
    await as_owner(settings, statement, tenant)
    return tenant


@asynccontextmanager
async def post_office(settings: Settings) -> AsyncIterator[Post]:
    """A worker's services, and a tenant."""
    async with job_services(settings) as services:
        yield Post(services, settings, await a_tenant(settings))


async def until_received(server: MailServer, count: int) -> None:
    """Look until so many mails have arrived."""

    async def arrived() -> bool:
        return len(server.received) >= count

    await until(arrived)


def names(server: MailServer) -> list[str]:
    """Whom the mails that arrived were for, in order."""
    return [one.recipients[0].partition("@")[0] for one in server.received]


def message_ids(server: MailServer) -> list[str]:
    """The ids of the mails that arrived, in order."""
    return [str(one.message["Message-ID"]) for one in server.received]
