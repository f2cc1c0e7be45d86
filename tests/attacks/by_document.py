"""Attacks by what a document says, and by its variables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from target import AT_ONCE_SECONDS, REFUSED, Attack, Target

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


ACCEPTED_SECONDS: Final = 0.15
"""Asserted of what keeps within every limit, by little."""
NESTED: Final = "progress { document { contentUrl progress { document { contentUrl progress { etaSeconds } } } } }"
EDGE: Final = {
    "nodes with everything that is computed": (7, "contentUrl id name " + NESTED),
    "nodes with plain values": (15, "id name contentType byteSize status pageCount"),
    "nodes with what is loaded": (7, "id uploadedBy { id } name page(number: 1) { number }"),
    "nodes in nodes": (3, "id " + "progress { document { " * 6 + "uploadedBy { id name } " + "} } " * 6 + NESTED),
}
"""Selections of a document, and in how many lists of a hundred ids."""


def _edge(lists: int, selection: str) -> Callable[[Target], Awaitable[str]]:
    """Accepted documents that are as expensive as the limits let them be."""
    nodes = " ".join(f"a{number}: nodes(ids: $ids) {{ ...F }}" for number in range(lists))
    query = f"query($ids: [ID!]!) {{ {nodes} }} fragment F on Document {{ {selection} }}"

    async def send(target: Target) -> str:
        return await target.graphql(
            {"query": query, "variables": {"ids": [target.waiting] * 100}}, target.attacker.token
        )

    return send


async def _at_once(target: Target) -> str:
    """Ten of them, by one person."""
    send = _edge(*EDGE["nodes with everything that is computed"])
    return " / ".join(sorted(set(await asyncio.gather(*(send(target) for _ in range(10))))))


async def _searches(target: Target) -> str:
    """As many long questions as one operation may embed."""
    text = "Which word of this long question has a meaning? " * 40
    found = " ".join(f"a{number}: passages(query: $text) {{ distance }}" for number in range(3))
    payload = {"query": f"query($text: String!) {{ viewer {{ {found} }} }}", "variables": {"text": text[:2_000]}}
    return await target.graphql(payload, target.attacker.token)


async def _mutations(target: Target) -> str:
    """As many mutations as one operation may have."""
    text = " ".join(f'a{number}: revokeSession(input: {{sessionId: "x"}}) {{ __typename }}' for number in range(15))
    return await target.graphql({"query": f"mutation {{ {text} }}"}, target.attacker.token)


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
    "100 levels of fragments by 2": f"{REFUSED} LIMIT_EXCEEDED cost",
    "pages in fragments in pages": f"{REFUSED} LIMIT_EXCEEDED depth",
    "fragments in a circle": _MERGES,
    "each fragment uses all later ones": f"{REFUSED} LIMIT_EXCEEDED cost",
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
    *(Attack(f"accepted: {name}", _ANSWERED, _edge(*EDGE[name]), fewest=2, cpu=ACCEPTED_SECONDS) for name in EDGE),
    Attack("accepted: ten at once", _ANSWERED, _at_once, 10, 1, ACCEPTED_SECONDS, AT_ONCE_SECONDS),
    Attack("accepted: searches", _ANSWERED, _searches, fewest=2, cpu=ACCEPTED_SECONDS),
    Attack("accepted: mutations", _ANSWERED, _mutations, fewest=2, cpu=ACCEPTED_SECONDS),
    *(Attack(f"variables: {kind}", _OUTCOMES[kind], _variables(make)) for kind, make in HOSTILE_VARIABLES.items()),
]
