"""However a document is made, opening it (parsing, measuring, validating) takes a bounded time."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
from graphql import get_introspection_query
from opening_times import COUNTED, TIMES

from hostile_documents import ATTACKS, HONEST
from schema.limits.documents import Documents
from schema.root import make_schema

pytestmark = pytest.mark.long

HERE = Path(__file__).resolve().parent
TIMES_HONEST = 15
"""Measured: at most 7.2 times as long as an honest page of 167 tokens, which takes 4 to 7 ms; the rest is noise."""


async def _measured(what: str) -> dict[str, float]:
    """What `opening_times.py` measures: a ratio for each name."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        HERE / "opening_times.py",
        what,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE.parents[1] / "src"), str(HERE.parent)))},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    return json.loads(output)  # type: ignore[no-any-return]


@pytest.mark.timeout(60)  # five seconds on an idle machine
async def test_no_document_takes_much_longer_to_open_than_an_honest_page() -> None:
    times = await _measured("attacks")
    assert times.keys() == ATTACKS.keys()
    assert {name: ratio for name, ratio in times.items() if ratio > TIMES_HONEST} == {}


@pytest.mark.timeout(60)
async def test_what_is_refused_is_refused_in_time_linear_in_the_document() -> None:
    growth = await _measured("growth")
    assert growth.keys() == COUNTED.keys()
    assert {limit: ratio for limit, ratio in growth.items() if ratio > 3 * TIMES} == {}


def test_the_honest_page_and_the_usual_introspection_are_not_refused() -> None:
    schema = make_schema()
    for text in (HONEST, get_introspection_query()):
        documents = Documents(schema._schema, schema.settings, introspection=True)
        assert not documents.open(text, None, {}).errors
