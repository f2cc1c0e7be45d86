"""Documents made to be expensive, and an honest one to hold them against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

HONEST: Final = """query Page($id: ID!, $first: Int = 5) {
  viewer {
    user { id name email role } tenant { id name } assistants { nodes { id name } }
    conversations(first: $first) {
      edges { cursor node {
        id title owner { name } assistant { name } channel handoffState createdAt lastMessageAt
        messages(last: 20) {
          nodes { id role text author { name } createdAt
            answer { id status usage { inputTokens outputTokens cost totalMs cached } failure { code message }
              model attempt selected createdAt finishedAt
              citations { marker quote page documentName distance
                chunk { id text page start end document { id name } } } } }
          pageInfo { hasNextPage endCursor } } } }
      pageInfo { hasNextPage endCursor } } }
  node(id: $id) { __typename ... on Document { id name status progress { chunksDone chunksTotal } } }
}"""
"""Everything a page shows; 167 tokens."""

_LEAVES: Final = (
    "__typename id title channel handoffState createdAt lastMessageAt owner { __typename id name email role }"
)


def _numbered(pattern: str, count: int) -> str:
    return " ".join(pattern.replace("%n", str(number)).replace("%m", str(number + 1)) for number in range(count))


def _bushy(strings: str = "x", count: int = 13) -> str:
    """As many different fields as fit, without a field of one name twice."""
    inner = (
        f"{_LEAVES} messages(first: 1) {{ nodes {{ id conversation {{ {_LEAVES} assistant {{ id name model }} }} }} }}"
    )
    return _numbered(f'a%n: node(id: "{strings}") {{ ... on Conversation {{ {inner} }} }}', count)


ATTACKS: Final[dict[str, Callable[[], str]]] = {
    "a field again and again": lambda: "{ viewer { user { " + "id " * 1_980 + "} } }",
    "a field with fields again and again": lambda: "{ " + "viewer { __typename } " * 245 + "}",
    "fields in fields again and again": lambda: "{ " + "viewer { user { id } } " * 160 + "}",
    "a few of each, nested": lambda: "{ " + ("viewer { " + ("user { " + "id " * 7 + "} ") * 7 + "} ") * 7 + "}",
    "one name, different arguments": lambda: "{ " + _numbered('node(id: "%n") { id }', 180) + " }",
    "aliases": lambda: "{ " + _numbered("a%n: __typename", 490) + " }",
    "directives": lambda: "{ viewer " + "@include(if: true) " * 280 + "{ user { id } } }",
    "unknown fields": lambda: "{ " + _numbered("field%n", 490) + " }",
    "unknown fields with long names": lambda: "{ " + _numbered("x" * 3_000 + "%n", 9) + " }",
    "unknown fragments": lambda: "{ viewer { " + _numbered("...Nope%n", 490) + " } }",
    "unknown types": lambda: "query(" + _numbered("$v%n: Convresation%n", 400) + ") { __typename }",
    "inline fragments of many types": lambda: (
        '{ node(id: "x") { ' + "... on Message { id } ... on Document { id } ... on Answer { id } " * 82 + "} }"
    ),
    "inline fragments without a type": lambda: "{ viewer { " + "... { user { id } } " * 165 + "} }",
    "a fragment again and again": lambda: "{ viewer { user { " + "...F " * 490 + "} } } fragment F on User { id name }",
    "100 levels of fragments by 2": lambda: (
        "{ viewer { user { ...F0 } } } "
        + _numbered("fragment F%n on User { id ...F%m id ...F%m }", 98)
        + " fragment F98 on User { id }"
    ),
    "pages in fragments in pages": lambda: (
        "query($n: Int) { viewer { conversations(first: $n) { nodes { ...F0 } } } } "
        + _numbered(
            "fragment F%n on Conversation { messages(last: $n) { nodes { conversation { ...F%m ...F%m } } } }", 60
        )
        + " fragment F60 on Conversation { id }"
    ),
    "fragments in a circle": lambda: (
        "{ viewer { user { ...F0 } } } "
        + _numbered("fragment F%n on User { id ...F%m ...F%m }", 98)
        + " fragment F98 on User { id ...F0 }"
    ),
    "each fragment uses all later ones": lambda: (
        "{ viewer { user { ...F0 } } } "
        + " ".join(
            f"fragment F{i} on User {{ id " + " ".join(f"...F{j}" for j in range(i + 1, 29)) + " }" for i in range(29)
        )
    ),
    "fragments that cross": lambda: (
        "{ ...A0 } "
        + _numbered("fragment A%n on Query { ...A%m ...B%m } fragment B%n on Query { ...A%m ...B%m }", 45)
        + " fragment A45 on Query { __typename } fragment B45 on Query { __typename }"
    ),
    "unused fragments": lambda: "{ viewer { user { id } } } " + _numbered("fragment F%n on User { id }", 270),
    "different fragments in one place": lambda: (
        "{ viewer { user { "
        + _numbered("...F%n", 95)
        + " } } } "
        + _numbered("fragment F%n on User { id name email }", 95)
    ),
    "operations": lambda: _numbered("query Q%n { __typename }", 380),
    "operations that share a fragment": lambda: (
        _numbered("query Q%n($v: ID!) { ...F }", 19)
        + " fragment F on Query { nodes(ids: ["
        + "$v " * 100
        + "]) { id } }"
    ),
    "subscriptions that share a fragment": lambda: (
        _numbered("subscription S%n { ...F }", 20)
        + " fragment F on Subscription { "
        + '... { answer(id: "x") { __typename } } ' * 9
        + "}"
    ),
    "variables": lambda: "query(" + _numbered("$v%n: ID", 480) + ") { __typename }",
    "variables, all used": lambda: (
        "query("
        + _numbered("$v%n: ID!", 95)
        + ") { "
        + ("nodes(ids: [" + _numbered("$v%n", 95) + "]) { id } ") * 7
        + "}"
    ),
    "a long list": lambda: "{ nodes(ids: [" + '"x" ' * 1_950 + "]) { id } }",
    "a wide input": lambda: "mutation { signIn(input: {" + _numbered("a%n: 1", 640) + "}) { __typename } }",
    "wide inputs": lambda: (
        "mutation { " + ("signIn(input: {" + _numbered("a%n: {b: 1}", 90) + "}) { __typename } ") * 3 + "}"
    ),
    "a deep list": lambda: "{ nodes(ids: " + "[" * 900 + "]" * 900 + ") { id } }",
    "a huge number": lambda: "{ viewer { conversations(first: " + "9" * 30_000 + ") { nodes { id } } } }",
    "a huge string": lambda: '{ node(id: "' + "\\n" * 16_000 + '") { id } }',
    "comments": lambda: "#\n" * 1_990 + "{ viewer { __typename } }",
    "white space": lambda: "{" + " \n" * 16_000 + "__typename }",
    "a deep document": lambda: "{" + "... {" * 600 + "__typename" + "}" * 600 + "}",
    "type definitions": lambda: _numbered("type T%n { a: Int }", 270),
    "a wide enumeration": lambda: "enum E { " + _numbered("A%n", 1_980) + " }",
    "introspection, 12 levels": lambda: (
        "{ __schema { types { " + "fields { type { " * 12 + "name" + " } }" * 12 + " } } }"
    ),
    "introspection, 15 times": lambda: (
        "{ " + _numbered("a%n: __schema { types { fields { type { fields { name } } } } }", 15) + " }"
    ),
    "many different fields": lambda: "{ " + _bushy() + " }",
    "many different fields and long strings": lambda: "{ " + _bushy("\\n" * 900) + " }",
    "many different fields and a mistake": lambda: "{ " + _bushy() + " nope nopf }",
    "many different fields, then one again and again": lambda: "{ " + _bushy(count=12) + " __typename " * 50 + "}",
    "many operations with different fields": lambda: _numbered(
        "query Q%n { viewer { user { id name email role __typename } tenant { id name __typename } } }", 20
    ),
}

HOSTILE_VARIABLES: Final[dict[str, Callable[[], Any]]] = {
    "input_depth": lambda: _nested(50),
    "list_items": lambda: list(range(101)),
    "input_bytes": lambda: "x" * 300_000,
    "input_digits": lambda: 10**40,
}


def _nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value
