"""JSON is counted before it is read: as a parser would count it, in one place for every transport."""

from __future__ import annotations

import json
import random
import time
from typing import Any

import orjson
import pytest

from app.request_limits import hold_values
from multipart import Part, file_map, form, send
from product import Product
from schema.limits.refusal import LimitExceededError
from streams import SSE

MOST = 10_000
FILLED = b",".join([b"[]"] * 330_000)


def counted(text: bytes) -> int:
    """By how many values a text is beyond a limit of none."""
    with pytest.raises(LimitExceededError) as refused:
        hold_values(text, 0)
    found = refused.value.actual
    assert found is not None
    return found


def values_of(value: object) -> int:
    """How many values it is, with itself."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(values_of, inner))


def made_up(chance: random.Random, depth: int = 4) -> Any:
    """Any JSON, with everything in its texts that means something outside of them."""
    kind = chance.randrange(7 if depth else 4)
    text = "".join(chance.choices('a,:[]{}"\\\n é', k=chance.randrange(6)))
    if kind < 4:
        return (text, chance.randrange(100), chance.random(), None)[kind]
    many = range(chance.randrange(4))
    if kind == 4:
        return {f"{text}{number}": made_up(chance, depth - 1) for number in many}
    return [made_up(chance, depth - 1) for _ in many]


def test_the_values_of_a_text_are_counted_as_a_parser_would_find_them() -> None:
    chance = random.Random(5)
    for _ in range(2_000):
        value = made_up(chance)
        for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
            try:
                hold_values(text.encode(), values_of(value))
            except LimitExceededError as refused:
                pytest.fail(f"{refused.actual} values in {text}")
            if values_of(value) > 20:
                # With fewer there may be more quotation marks than are looked at.
                with pytest.raises(LimitExceededError) as refused_one:
                    hold_values(text.encode(), values_of(value) - 1)
                assert refused_one.value.actual == values_of(value)


@pytest.mark.parametrize(
    "text",
    [
        b'{"query": "' + b",[{" * 300_000 + b'"}',
        b'{"query": "' + b',\\"' * 300_000 + b'"}',
        b'{"query": "' + b",\\\\" * 300_000 + b'"}',
        b'{"query": "a", "variables": {"a": "' + b"\\u00e9," * 100_000 + b'"}}',
        b'{"a": [' + b",".join([b'"]["'] * 9_990) + b"]}",
    ],
    ids=["brackets", "escaped quotation marks", "escaped backslashes", "escaped letters", "many texts"],
)
def test_a_text_may_hold_any_characters(text: bytes) -> None:
    assert orjson.loads(text)
    hold_values(text, MOST)


FLOODS = {
    "lists": (b"[" + FILLED + b"]", 330_001),
    "objects": (b"[" + FILLED.replace(b"[]", b"{}") + b"]", 330_001),
    "spaced lists": (b"[" + FILLED[:299_999].replace(b"[]", b"[ \n]") + b"]", 100_001),
    "numbers": (b"[" + b"1," * 500_000 + b"1]", 500_002),
    "texts": (b"[" + b'"",' * 340_000 + b'""]', None),
    "texts of backslashes": (b"[" + b'"\\\\",' * 190_000 + b'""]', None),
    "members": (b"{" + b'"":[],' * 170_000 + b'"":[]}', None),
    "what has no end": (b"[" * 1_000_000, 1_000_001),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_is_refused_for_a_part_of_what_the_parser_takes(name: str) -> None:
    text, values = FLOODS[name]
    taken = []
    for _ in range(5):
        begin = time.thread_time()
        with pytest.raises(LimitExceededError) as refused:
            hold_values(text, MOST)
        taken.append(time.thread_time() - begin)
    assert refused.value.actual == values
    assert refused.value.extensions is not None
    assert refused.value.extensions["kind"] == "input_values"
    assert min(taken) < 0.05


def body_of(member: str, kind: bytes) -> bytes:
    """A request with a flood in one member."""
    return b'{"query": "{ __typename }", "%s": {"a": [%s]}}' % (member.encode(), kind)


@pytest.mark.parametrize("member", ["variables", "extensions", "more"])
async def test_a_body_of_lists_is_refused_with_one_error_wherever_they_are(product: Product, member: str) -> None:
    headers = {"Content-Type": "application/json"}
    body = body_of(member, FILLED)
    for accept in ("application/json", "application/graphql-response+json", SSE):
        sent = headers | {"Accept": accept}
        async with product.http.post(f"{product.url}/graphql", data=body, headers=sent) as response:
            (error,) = (await response.json(content_type=None))["errors"]
        assert response.status == 400
        assert error["extensions"]["code"] == "LIMIT_EXCEEDED"
        assert error["extensions"]["kind"] == "input_values"
        assert error["extensions"]["limit"] == MOST
        assert error["message"] == "The request has 330004 values; the limit is 10000 (input_values)."


EXTENSIONS = {
    "list_items": {"a": [0] * 101},
    "input_depth": {"a": [[[[[[[[[[[0]]]]]]]]]]]},
    "extension_bytes": {"a": "x" * 262_145},
}


@pytest.mark.parametrize("kind", EXTENSIONS)
async def test_extensions_are_limited_as_variables_are_on_every_transport(product: Product, kind: str) -> None:
    person = await product.sign_up()
    payload = {"query": "query { __typename }", "extensions": EXTENSIONS[kind]}
    content = json.dumps(payload).encode()
    told: list[list[dict[str, Any]]] = []
    headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
    async with product.http.post(f"{product.url}/graphql", data=content, headers=headers) as response:
        told.append((await response.json())["errors"])
    told.append((await send(product, person.token, form(Part("operations", content), file_map({})))).body["errors"])
    if len(content) < 60_000:
        query = {"query": "{ __typename }", "extensions": json.dumps(payload["extensions"])}
        async with product.http.get(f"{product.url}/graphql", params=query) as response:
            told.append((await response.json())["errors"])
    if len(content) < product.settings.socket_message_bytes:
        async with product.socket(person.token) as socket:
            await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
            frame = await socket.receive_json()
            assert frame["type"] == "error"
            told.append(frame["payload"])
    for errors in told:
        (error,) = errors
        assert (error["extensions"]["code"], error["extensions"]["kind"]) == ("LIMIT_EXCEEDED", kind)
