"""Attacks by what a document says, and by its variables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from target import Attack, Target

from hostile_documents import ATTACKS, HOSTILE_VARIABLES
from product import SEND


def _document(make: Callable[[], str]) -> Callable[[Target], Awaitable[str]]:
    text = make()

    async def send(target: Target) -> str:
        # Never the same text twice: what was opened before would cost nothing.
        return await target.graphql({"query": text + " " * (next(target.numbers) % 700)})

    return send


def _variables(make: Callable[[], Any]) -> Callable[[Target], Awaitable[str]]:
    value = make()

    async def send(target: Target) -> str:
        variables = {"input": {"conversationId": "x", "text": value}}
        return await target.graphql({"query": SEND, "variables": variables}, target.attacker.token)

    return send


_OUTCOMES: Final[dict[str, str]] = {}

ROWS: Final = [
    *(Attack(name, _OUTCOMES.get(name, "?"), _document(make)) for name, make in ATTACKS.items()),
    *(
        Attack(f"variables: {kind}", _OUTCOMES.get(kind, "?"), _variables(make))
        for kind, make in HOSTILE_VARIABLES.items()
    ),
]
