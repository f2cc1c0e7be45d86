"""Attacks by what a document says, and by its variables."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from target import REFUSED, Attack, Target

from hostile_documents import ATTACKS, HONEST, HOSTILE_VARIABLES
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


async def _honest(target: Target) -> str:
    query = HONEST + " " * next(target.numbers)
    return await target.graphql({"query": query, "variables": {"id": target.victim.user_id}}, target.victim.token)


HONEST_REQUEST: Final = Attack("an honest page", "200 answered", _honest)
_ANSWERED = "200 answered"
_INVALID = f"{REFUSED} GRAPHQL_VALIDATION_FAILED"
_MERGES = f"{REFUSED} LIMIT_EXCEEDED merges"
_OUTCOMES: Final = {
    "a field again and again": f"{REFUSED} LIMIT_EXCEEDED selections",
    "a field with fields again and again": _MERGES,
    "fields in fields again and again": _MERGES,
    "a few of each, nested": _MERGES,
    "one name, different arguments": _MERGES,
    "aliases": f"{REFUSED} LIMIT_EXCEEDED aliases",
    "directives": f"{REFUSED} LIMIT_EXCEEDED directives",
    "unknown fields": _INVALID,
    "unknown fields with long names": _INVALID,
    "unknown fragments": _INVALID,
    "unknown types": _INVALID,
    "inline fragments of many types": _MERGES,
    "inline fragments without a type": _MERGES,
    "a fragment again and again": _ANSWERED,
    "100 levels of fragments by 2": _MERGES,
    "pages in fragments in pages": f"{REFUSED} LIMIT_EXCEEDED depth",
    "fragments in a circle": _MERGES,
    "each fragment uses all later ones": _MERGES,
    "fragments that cross": _MERGES,
    "unused fragments": f"{REFUSED} LIMIT_EXCEEDED definitions",
    "different fragments in one place": _MERGES,
    "operations": f"{REFUSED} LIMIT_EXCEEDED definitions",
    "operations that share a fragment": f"{REFUSED} BAD_USER_INPUT",
    "subscriptions that share a fragment": f"{REFUSED} BAD_USER_INPUT",
    "variables": _INVALID,
    "variables, all used": _INVALID,
    "a long list": f"{REFUSED} LIMIT_EXCEEDED list_items",
    "a wide input": f"{REFUSED} LIMIT_EXCEEDED list_items",
    "wide inputs": _INVALID,
    "a deep list": f"{REFUSED} LIMIT_EXCEEDED nesting",
    "a huge number": f"{REFUSED} LIMIT_EXCEEDED input_digits",
    "a huge string": "200 BAD_USER_INPUT",
    "comments": _ANSWERED,
    "white space": _ANSWERED,
    "a deep document": f"{REFUSED} LIMIT_EXCEEDED nesting",
    "type definitions": f"{REFUSED} LIMIT_EXCEEDED definitions",
    "a wide enumeration": f"{REFUSED} BAD_USER_INPUT",
    "introspection, 12 levels": f"{REFUSED} LIMIT_EXCEEDED introspection_depth",
    "introspection, 15 times": f"{REFUSED} LIMIT_EXCEEDED introspection_cost",
    "many different fields": "200 BAD_USER_INPUT",
    "many different fields and long strings": "200 BAD_USER_INPUT",
    "many different fields and a mistake": _INVALID,
    "many different fields, then one again and again": _MERGES,
    "many operations with different fields": f"{REFUSED} BAD_USER_INPUT",
    "input_depth": f"{REFUSED} LIMIT_EXCEEDED input_depth",
    "list_items": f"{REFUSED} LIMIT_EXCEEDED list_items",
    "input_bytes": f"{REFUSED} LIMIT_EXCEEDED input_bytes",
    "input_digits": _INVALID,  # a JSON number of that size is a float, not an integer
}
"""What is answered keeps within every limit, and costs no more than an honest page."""

ROWS: Final = [
    *(Attack(name, _OUTCOMES[name], _document(make)) for name, make in ATTACKS.items()),
    *(Attack(f"variables: {kind}", _OUTCOMES[kind], _variables(make)) for kind, make in HOSTILE_VARIABLES.items()),
]
