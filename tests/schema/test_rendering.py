"""What is rendered without an execution is, to the letter, what graphql-core would have made of it."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import pytest

from core.errors import ErrorCode
from datastores.answer_events import AnswerStepKind, Cited, Completed, Delta, Failed, Restarted, Started, Step
from held_answer import HeldAnswer, hold_answer, watching, without_outlets
from product import Product

HEAD = "subscription($id: ID!) { answer(id: $id) { "
IF = "subscription($id: ID!, $c: Boolean!) { answer(id: $id) { "
UNLESS = "subscription($id: ID!, $c: Boolean = true) { answer(id: $id) { "
ALL = """__typename ... on StreamEvent { sequence cursor } ... on AnswerStarted { answerId attempt }
  ... on AnswerStep { step detail } ... on AnswerDelta { firstSequence text }
  ... on AnswerCitation { citation { marker quote page documentName distance } }
  ... on AnswerRestarted { attempt reason } ... on AnswerFailed { failure { code message retryable } }"""


def on(kind: str, fields: str) -> str:
    """A subscription to one kind of event."""
    return f"{HEAD} ... on {kind} {{ {fields} }} }} }}"


RENDERED: dict[str, tuple[str, dict[str, Any]]] = {
    "the kind alone": (HEAD + "__typename } }", {}),
    "everything": (HEAD + ALL + " } }", {}),
    "text alone": (on("AnswerDelta", "text"), {}),
    "nothing of most kinds": (on("AnswerStep", "detail"), {}),
    "aliases": (
        "subscription($id: ID!) { a: answer(id: $id) { k: __typename ... on AnswerDelta { t: text s: sequence } } }",
        {},
    ),
    "one field twice under two names": (on("AnswerDelta", "text again: text"), {}),
    "one field twice under one name": (on("AnswerDelta", "text text ... on AnswerDelta { text }"), {}),
    "another order": (on("AnswerDelta", "text cursor firstSequence sequence"), {}),
    "the interface": (HEAD + "... on StreamEvent { cursor sequence } } }", {}),
    "the interface within a kind": (on("AnswerDelta", "... on StreamEvent { cursor } text"), {}),
    "the union within the union": (HEAD + "... on AnswerEvent { ... on AnswerDelta { text } } } }", {}),
    "kinds within the interface": (HEAD + "... on StreamEvent { cursor ... on AnswerStep { step } } } }", {}),
    "kind names at three depths": (
        HEAD + "a: __typename ... { b: __typename ... on AnswerDelta { c: __typename } } } }",
        {},
    ),
    "fragments": (
        HEAD + "...F } } fragment F on AnswerEvent { __typename ...G } fragment G on AnswerDelta { text sequence }",
        {},
    ),
    "a fragment twice": (HEAD + "...F ...F ... { ...F } } } fragment F on AnswerStarted { attempt answerId }", {}),
    "a fragment on the interface": (HEAD + "...F } } fragment F on StreamEvent { sequence }", {}),
    "an inline fragment without a kind": (HEAD + "... { ... on AnswerDelta { text } } } }", {}),
    "the same kind in parts": (
        HEAD + "... on AnswerDelta { text } ... on AnswerDelta { cursor } ... on AnswerDelta { sequence } } }",
        {},
    ),
    "a nested object": (on("AnswerFailed", "failure { message code retryable }"), {}),
    "a nested object under another name": (on("AnswerFailed", "why: failure { __typename what: code }"), {}),
    "a nested object in parts": (on("AnswerFailed", "failure { code } failure { retryable } f: failure { code }"), {}),
    "a record": (on("AnswerCitation", "citation { marker quote page documentName distance __typename }"), {}),
    "a record under another name": (on("AnswerCitation", "c: citation { q: quote d: distance }"), {}),
    "an enum": (on("AnswerStep", "step s: step detail"), {}),
    "include, yes": (
        IF + "... on AnswerDelta { text cursor @include(if: $c) } } }",
        {"c": True},
    ),
    "include, no": (
        IF + "... on AnswerDelta { text cursor @include(if: $c) } } }",
        {"c": False},
    ),
    "skip by a default": (
        UNLESS + "... on AnswerDelta { text cursor @skip(if: $c) } } }",
        {},
    ),
    "skip against a default": (
        UNLESS + "... on AnswerDelta { text cursor @skip(if: $c) } } }",
        {"c": False},
    ),
    "include a fragment and skip one": (
        IF + "... on AnswerDelta @include(if: $c) { text } ...F @skip(if: $c) } } fragment F on AnswerDelta { cursor }",
        {"c": False},
    ),
    "include a fragment and skip one, the other way": (
        IF + "... on AnswerDelta @include(if: $c) { text } ...F @skip(if: $c) } } fragment F on AnswerDelta { cursor }",
        {"c": True},
    ),
    "two conditions on one field": (
        "subscription($id: ID!, $a: Boolean!, $b: Boolean!) { answer(id: $id) { __typename @include(if: $a)"
        " ... on AnswerDelta { text @include(if: $a) @skip(if: $b) sequence } } }",
        {"a": True, "b": True},
    ),
    "constant conditions": (on("AnswerDelta", "text @skip(if: true) cursor @include(if: true) sequence"), {}),
    "a condition in a nested object": (
        IF + "... on AnswerFailed { failure { code message @skip(if: $c) } } } }",
        {"c": True},
    ),
    "a condition in a fragment": (
        IF + "...F } } fragment F on AnswerDelta { text @include(if: $c) cursor }",
        {"c": False},
    ),
    "nothing at all of a kind": (on("AnswerDelta", "text @include(if: false)"), {}),
    "some kinds with relations": (
        HEAD + "__typename ... on AnswerDelta { text } ... on AnswerCompleted { answer { status } } } }",
        {},
    ),
    "a record with a relation": (
        HEAD + "__typename ... on AnswerDelta { text } ... on AnswerCitation { citation { marker chunk { id } } } } }",
        {},
    ),
    "a relation and all the rest": (
        HEAD + ALL + " ... on AnswerCompleted { answer { id status message { text } } } } }",
        {},
    ),
    "a name for the operation": ("subscription Watch($id: ID!) { answer(id: $id) { __typename } }", {}),
    "an unused fragment's neighbour": (
        HEAD + "...F } } fragment F on AnswerDelta { text ...G } fragment G on StreamEvent { cursor }",
        {},
    ),
}
"""Of which some events at least are rendered."""
REFUSED: dict[str, tuple[str, dict[str, Any]]] = {
    "a field of no kind": (HEAD + "text } }", {}),
    "two fields at the root": (
        "subscription($id: ID!) { answer(id: $id) { __typename } b: answer(id: $id) { __typename } }",
        {},
    ),
    "no answer of that id": ('subscription { answer(id: "ans_1") { __typename } }', {}),
    "a variable of another type": (
        IF + "__typename @include(if: $c) } }",
        {"c": "yes"},
    ),
    "a syntax error": ("subscription {", {}),
    "a fragment that there is not": (HEAD + "...F } }", {}),
    "fields that do not merge": (on("AnswerDelta", "a: text a: cursor"), {}),
    "a cursor of nothing": (
        'subscription($id: ID!) { answer(id: $id, after: "x") { __typename } }',
        {},
    ),
}
CITED: dict[str, Any] = {
    "marker": 1,
    "chunk_id": None,
    "document_id": None,
    "document_name": "a name",
    "page": 3,
    "quote": "a quote",
    "distance": 0.5,
}
ODD_TEXT = 'h\u00e9llo \U0001f600 \x00\x1f "q" \\ </script> \u2028'


async def tell(answer: HeldAnswer) -> Any:
    """One after the other, each kind of event; the last is the terminal one."""
    chunk = uuid4()
    cited = (chunk, chunk, "a name", 3, "a quote")
    yield answer.append(Delta("a plain word"))
    yield answer.append(Step(AnswerStepKind.READING, None))
    yield answer.append(Step(AnswerStepKind.READING, 'three "passages"'))
    yield answer.append(Delta(ODD_TEXT))
    yield answer.append(Cited(1, *cited, 0.1))
    yield answer.append(Cited(2, None, None, "", None, "", 1e22))
    yield answer.append(Delta(""))
    yield answer.append(Delta("x" * 70_000))
    # What graphql-core coerces, or complains of.
    yield answer.append_raw("Delta", text=5)
    yield answer.append_raw("Delta", text=None)
    yield answer.append_raw("Delta", text=True)
    yield answer.append_raw("Step", step="THINKING", detail=["x"])
    yield answer.append_raw("Restarted", attempt=2**31, reason="too many")
    for odd in ({"marker": 1.0}, {"marker": True}, {"page": "4"}, {"quote": 5}, {"distance": 2}, {"distance": "x"}):
        yield answer.append_raw("Cited", **CITED | odd)
    yield answer.append(Restarted(2, "again"))
    yield answer.append(Delta("from the beginning"))


def _nobody_s(frame: str) -> str:
    """The message without the request's id."""
    return re.sub(r'"requestId":"[0-9a-f]{32}"', '"requestId":""', frame)


@pytest.mark.timeout(60)  # some forty selections, each executed by graphql-core for comparison
@pytest.mark.parametrize("ending", [Completed, Failed])
async def test_rendered_messages_are_those_of_an_execution_to_the_letter(product: Product, ending: type) -> None:
    person = await product.sign_up()
    answer = await hold_answer(person)
    last = Failed(answer.key[1], ErrorCode.INTERRUPTED, "broke", True) if ending is Failed else Completed(answer.key[1])
    await answer.begin(Started(answer.key[1], 1))
    selections = RENDERED | REFUSED
    async with without_outlets(product) as url, watching(person) as fast, watching(person, url) as stock:
        for watcher in (fast, stock):
            for name, (query, variables) in selections.items():
                await watcher.subscribe(f'{name} "\u00e9"', query, {"id": answer.id, **variables})
            await watcher.until(1)
        assert sum(answer.shared) == len(RENDERED)
        count = 1
        async for told in tell(answer):
            await told
            count += 1
            for watcher in (fast, stock):
                await watcher.until(count)
        if ending is Completed:
            await answer.finish()
        await answer.append(last)
        for watcher in (fast, stock):
            await watcher.until(count + 2)
    for id, frames in stock.frames.items():
        assert list(map(_nobody_s, fast.frames[id])) == list(map(_nobody_s, frames)), id
    assert len(selections) >= 45
