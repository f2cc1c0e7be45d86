"""What arrives in somebody's mailbox: the files that the worker of a product without SMTP_URL writes."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
from email.message import EmailMessage

from owner import as_owner, until
from product import Person, Product

LINK = re.compile(r"(\S+)#(reset|verify|invitation)=(\S+)")


def _letters(product: Product, address: str) -> list[EmailMessage]:
    found = []
    for path in sorted((product.settings.data_dir / "mail").glob("*.eml")):
        letter = email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTPUTF8)
        if letter["To"].addresses[0].addr_spec == address:
            found.append(letter)
    return found


async def letters(product: Product, address: str, subject: str, count: int = 1) -> list[str]:
    """The texts of the first so many mails to the address that begin so, oldest first; waits for them."""
    found: list[str] = []

    async def arrived() -> bool:
        nonlocal found
        all_of_them = await asyncio.to_thread(_letters, product, address)
        found = [str(one.get_content()) for one in all_of_them if str(one["Subject"]).startswith(subject)]
        return len(found) >= count

    await until(arrived)
    return found


async def nothing_waits(product: Product) -> None:
    """Wait until the outbox is empty: whatever was to be sent has been."""

    async def empty() -> bool:
        waiting = "SELECT count(*) FROM outbox WHERE topic = 'mail' AND next_try_at IS NOT NULL"
        return await as_owner(product.settings, waiting) == [(0,)]

    await until(empty)


def link_in(text: str) -> tuple[str, str]:
    """The page and the token of the link in a mail."""
    found = LINK.search(text)
    assert found is not None, text
    return found[1], found[3]


async def token_for(product: Product, address: str, subject: str, count: int = 1) -> str:
    """The token in the newest of so many mails."""
    return link_in((await letters(product, address, subject, count))[-1])[1]


async def a_while_later(person: Person) -> None:
    """As if the person's links had been sent a while ago."""
    await as_owner(
        person.product.settings,
        "UPDATE one_time_tokens SET created_at = created_at - interval '601 seconds' WHERE tenant_id = $1",
        person.tenant_id,
    )
