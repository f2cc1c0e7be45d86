"""A process that measures how long documents take to open: `python opening_times.py attacks`, or `growth`.

It is one of its own so that nothing else takes part in its CPU time, and so that the loop of the tests is not blocked.
"""

from __future__ import annotations

import json
import sys
import time

from graphql import GraphQLError

from core.settings import Settings
from hostile_documents import ATTACKS, HONEST
from schema.limits.documents import Documents
from schema.root import make_schema

SCHEMA = make_schema()
UNLIMITED = {name: 10**9 for name in Settings.model_fields if name.startswith("limit_")}
COUNTED = {
    # limit -> what there is of it, again and again; a smaller and an eight times larger number
    "selections": ("{ %s}", "id ", 500),
    "merges": ("{ %s}", "viewer { __typename } ", 400),
    "definitions": ("{ viewer { __typename } } %s", "fragment F%n on User { id } ", 100),
    "operations": ("%s", "query Q%n { __typename } ", 100),
    "aliases": ("{ %s}", "a%n: __typename ", 250),
    "directives": ("{ %s}", "...@include(if: true) { __typename } ", 100),
}
TIMES = 8


def seconds(text: str, settings: Settings, *, refused_by: str | None = None) -> float:
    """CPU time of opening a document that was never seen before: the fastest of three, disturbed least."""
    times = []
    for _ in range(3):
        documents = Documents(SCHEMA._schema, settings, introspection=True)
        started = time.process_time()
        kind = None
        try:
            documents.open(text, None, {})
        except GraphQLError as error:
            kind = (error.extensions or {}).get("kind")
        times.append(time.process_time() - started)
        assert refused_by in (None, kind)
    return min(times)


def _growth(limit: str) -> float:
    """How many times as long a document takes that is eight times as large, where nothing but one limit stops it."""
    frame, pattern, count = COUNTED[limit]
    settings = Settings.model_construct(**{**UNLIMITED, f"limit_{limit}": 50})
    small, large = (
        frame % "".join(pattern.replace("%n", str(number)) for number in range(size)) for size in (count, TIMES * count)
    )
    return seconds(large, settings, refused_by=limit) / seconds(small, settings, refused_by=limit)


def _against_an_honest_page(attack: str) -> float:
    return seconds(ATTACKS[attack](), SCHEMA.settings) / seconds(HONEST, SCHEMA.settings)


if __name__ == "__main__":
    if sys.argv[1] == "attacks":
        found = {name: _against_an_honest_page(name) for name in ATTACKS}
    else:
        found = {limit: _growth(limit) for limit in COUNTED}
    json.dump(found, sys.stdout)
