"""GraphQL over HTTP, by the public audit suite of the npm package `graphql-http`."""

from __future__ import annotations

import json

from node_programs import RunNode

from product import Product


async def test_every_audit_passes_the_optional_ones_included(product: Product, run_node: RunNode) -> None:
    results = [json.loads(line) for line in (await run_node("audit.mjs", f"{product.url}/graphql")).splitlines()]
    assert len(results) == 61
    assert [result for result in results if result["status"] != "ok"] == []
