"""Following an answer: from anywhere, by however many, and whatever of it has been lost on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from statements import counted

from datastores.answer_events import Cited, Completed, Delta, Restarted, Started
from datastores.answer_log import SLICE_BYTES
from held_answer import WATCH, HeldAnswer, Watcher, hold_answer, watching, without_outlets
from product import Product
from resolvers.following.past import Page, Place
from resolvers.following.silence import SILENCE_SECONDS, SilenceWatch
from resolvers.following.snapshot import PIECE_CHARS

CITED = """subscription($id: ID!, $after: String) { answer(id: $id, after: $after) { __typename
  ... on StreamEvent { sequence cursor } ... on AnswerDelta { firstSequence text }
  ... on AnswerCitation { citation { marker quote documentName page distance chunk { id } } } } }"""


@pytest.fixture
async def answer(product: Product) -> HeldAnswer:
    """Of a new person; it has begun."""
    held = await hold_answer(await product.sign_up())
    await held.begin(Started(held.key[1], 1))
    return held


@pytest.fixture
def silence(product: Product) -> SilenceWatch:
    """A watch that the test asks to look, without waiting until it would."""
    services = product.services
    return SilenceWatch(services.topics, services.answer_log, services.postgres)


async def follow(watcher: Watcher, answer: HeldAnswer, after: str | None = None, id: str = "1") -> None:
    """Begin, and wait for the first event."""
    await watcher.subscribe(id, CITED, {"id": answer.id, "after": after})
    await watcher.until(1, {id})


def text_of(events: list[dict[str, Any]]) -> str:
    """What a client shows, if the sequences have no holes."""
    text, expected = "", None
    for event in events:
        first = event.get("firstSequence", event["sequence"])
        if event["__typename"] == "AnswerRestarted":
            text = ""
        else:
            assert expected in (None, first), events
        text += event.get("text", "")
        expected = event["sequence"] + 1
    return text


@pytest.mark.long
@pytest.mark.timeout(60)  # a thousand subscriptions are authorised one by one
async def test_a_thousand_viewers_of_one_answer_share_its_encoding_and_see_all_of_it(answer: HeldAnswer) -> None:
    most = answer.person.product.settings.socket_operations
    viewers = 1_000
    async with watching(answer.person) as first:
        await first.subscribe("0", WATCH, {"id": answer.id})
        sockets = [watching(answer.person) for _ in range(viewers // most)]
        watchers = [await socket.__aenter__() for socket in sockets]
        try:
            for watcher in watchers:
                for number in range(most):
                    await watcher.subscribe(str(number), WATCH, {"id": answer.id})
                await watcher.until(1)
            await first.until(1)
            assert answer.shared == [viewers + 1]
            for number in range(5):
                await answer.append(Delta(f"{number} "))
            await answer.append(Completed(answer.key[1]))
            for watcher in (first, *watchers):
                await watcher.until(8)
        finally:
            for socket in sockets:
                await socket.__aexit__(None, None, None)
    expected = first.events("0")
    assert text_of(expected) == "0 1 2 3 4 "
    assert all(watcher.events(id) == expected for watcher in watchers for id in watcher.frames)
    assert answer.shared == []


async def test_another_device_goes_on_where_the_first_one_stopped(answer: HeldAnswer) -> None:
    async with watching(answer.person) as one:
        await follow(one, answer)
        await answer.append(Delta("a "), Delta("b "))
        await one.until(3)
    cursor = one.events("1")[-1]["cursor"]
    await answer.append(Delta("c "))
    async with watching(answer.person) as two, watching(answer.person) as three:
        await follow(two, answer, after=cursor)
        await follow(three, answer)
        await answer.append(Delta("d "), Completed(answer.key[1]))
        await two.until(4)
        await three.until(7)
    assert text_of(one.events("1") + two.events("1")) == text_of(three.events("1")) == "a b c d "


async def test_who_comes_when_the_log_has_expired_gets_what_was_stored_with_its_citations(answer: HeldAnswer) -> None:
    cited = [Cited(n, None, None, f"document {n}", n, f"quote {n}", n / 10) for n in (1, 2)]
    await answer.finish("It is so [1], or so [2].", cited)
    await answer.lose_log()
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", CITED, {"id": answer.id})
        await watcher.until(6)
        events = watcher.events("1")
        kinds = [event["__typename"] for event in events]
        assert kinds == ["AnswerRestarted", "AnswerCitation", "AnswerCitation", "AnswerDelta", "AnswerCompleted"]
        assert [event["citation"]["quote"] for event in events[1:3]] == ["quote 1", "quote 2"]
        for number, event in enumerate(events[:-1]):
            await watcher.subscribe(f"after {number}", CITED, {"id": answer.id, "after": event["cursor"]})
        for number in range(len(events) - 1):
            await watcher.until(len(events) - number, {f"after {number}"})
            assert watcher.events(f"after {number}") == events[number + 1 :]


@pytest.mark.parametrize("chars", [0, 1, PIECE_CHARS, PIECE_CHARS + 1, 3 * PIECE_CHARS])
async def test_a_long_stored_text_comes_in_pieces_that_can_be_resumed(answer: HeldAnswer, chars: int) -> None:
    text = ("0123456789\u00e9\U0001f600" * chars)[:chars]
    await answer.finish(text)
    await answer.lose_log()
    pieces = -(-chars // PIECE_CHARS)
    async with watching(answer.person) as watcher:
        await watcher.subscribe("1", CITED, {"id": answer.id})
        await watcher.until(pieces + 3)
        events = watcher.events("1")
        assert text_of(events) == text
        assert len(events) == pieces + 2
        for number, event in enumerate(events):
            await watcher.subscribe(f"after {number}", CITED, {"id": answer.id, "after": event["cursor"]})
            await watcher.until(pieces + 3)
            rest = watcher.events(f"after {number}")
            # After the end there is nothing to come: it begins again, because a stream ends in data.
            assert rest == (events[number + 1 :] or events)


@pytest.mark.parametrize("outlets", [True, False])
async def test_a_log_of_many_pages_comes_whole_while_it_grows(
    product: Product, answer: HeldAnswer, outlets: bool
) -> None:
    piece = "x" * 1_000
    for _ in range(4):
        await answer.append(*[Delta(piece)] * (SLICE_BYTES // 1_000))
    async with without_outlets(product) as url, watching(answer.person, None if outlets else url) as watcher:
        await watcher.subscribe("1", CITED, {"id": answer.id})
        for number in range(20):
            await answer.append(Delta(f"{number} "))
        await answer.append(Completed(answer.key[1]))
        await watcher.until(1_000)
    events = watcher.events("1")
    assert text_of(events) == piece * 4 * (SLICE_BYTES // 1_000) + "".join(f"{number} " for number in range(20))
    assert events[-1]["__typename"] == "AnswerCompleted"


@pytest.mark.parametrize("outlets", [True, False])
async def test_what_was_not_published_is_read_when_the_next_shows_that_it_is_missing(
    product: Product, answer: HeldAnswer, outlets: bool
) -> None:
    async with without_outlets(product) as url, watching(answer.person, None if outlets else url) as watcher:
        await follow(watcher, answer)
        await answer.log(Delta("a "))
        await answer.log(Delta("b "))
        await answer.append(Delta("c "))
        async with asyncio.timeout(SILENCE_SECONDS - 1):
            await watcher.until(4)
    assert text_of(watcher.events("1")) == "a b c "


async def test_what_is_published_twice_or_late_is_passed_over(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        await follow(watcher, answer)
        await answer.append(Delta("a "), Delta("b "))
        for sequence in (1, 2, 3):
            await answer.publish(sequence, Delta("again "))
        await answer.append(Delta("c "))
        await watcher.until(4)
    assert text_of(watcher.events("1")) == "a b c "


async def test_another_generation_is_read_from_its_beginning(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        await follow(watcher, answer)
        await answer.append(Delta("old "))
        await watcher.until(2)
        await answer.begin(Started(answer.key[1], 2), Delta("new "))
        await answer.append(Delta("text "), Completed(answer.key[1]))
        await watcher.until(7)
    events = watcher.events("1")
    assert [event["__typename"] for event in events[2:]] == [
        *("AnswerRestarted", "AnswerDelta", "AnswerDelta", "AnswerCompleted")
    ]
    assert text_of(events) == "new text "


async def test_a_lost_last_word_is_found_by_looking(answer: HeldAnswer, silence: SilenceWatch) -> None:
    async with watching(answer.person) as watcher:
        await follow(watcher, answer)
        await answer.append(Delta("all of it"))
        await watcher.until(2)
        await answer.finish("all of it")
        await silence._look(answer.person.product.services.topics.silent(0))
        await watcher.until(6)
    assert text_of(watcher.events("1")) == "all of it"
    assert [event["__typename"] for event in watcher.events("1")][-1] == "AnswerCompleted"


async def test_a_word_that_is_only_in_the_log_is_found_by_looking(answer: HeldAnswer, silence: SilenceWatch) -> None:
    async with watching(answer.person) as watcher:
        await follow(watcher, answer)
        await answer.log(Delta("a"))
        await silence._look(answer.person.product.services.topics.silent(0))
        await watcher.until(2)
    assert text_of(watcher.events("1")) == "a"


async def test_answers_of_which_there_is_nothing_to_be_heard_are_looked_at_together(
    answer: HeldAnswer, silence: SilenceWatch
) -> None:
    """Not one by one: the statements are the platform's one, and none of an organisation's."""
    person = answer.person
    topics = person.product.services.topics
    others = [await hold_answer(person) for _ in range(5)]
    for other in others[:3]:
        await other.begin(Started(other.key[1], 1))
    async with watching(person) as watcher:
        for held in (answer, *others):
            await watcher.subscribe(held.id, CITED, {"id": held.id})
        await watcher.until(1, {held.id for held in (answer, *others[:3])})
        async with asyncio.timeout(5):
            # Those without a log say nothing; a round trip of the socket's shows that they have been read.
            while len(topics.silent(0)) < 6 or any(not topic.standings for topic in topics.silent(0)):
                await watcher.socket.ping()
                await asyncio.sleep(0)
        async with counted(person.product) as statements:
            await silence._look(topics.silent(0))
            await answer.append(Delta("a"))
            await watcher.until(2, {answer.id})
        assert statements == []
        assert topics.silent(0) != []


async def test_viewers_at_one_place_share_one_reading(answer: HeldAnswer) -> None:
    topics = answer.person.product.services.topics
    async with watching(answer.person) as watcher:
        for number in range(10):
            await follow(watcher, answer, id=str(number))
        (topic,) = [each for each in topics.silent(0) if each.key == answer.key]
        read, places = topic._past.after, []

        async def noted(place: Place) -> Page:
            places.append(place)
            return await read(place)

        topic._past.after = noted  # type: ignore[method-assign]
        await answer.log(Delta("a"))
        topic.mark_gap()
        await watcher.until(2)
    assert places == [Place(answer.generation, 1)]


async def test_a_restart_in_the_log_is_passed_on_as_it_is(answer: HeldAnswer) -> None:
    async with watching(answer.person) as watcher:
        await follow(watcher, answer)
        await answer.append(Delta("old "), Restarted(2, "again"), Delta("new "))
        await watcher.until(4)
    assert text_of(watcher.events("1")) == "new "
