"""`documentProgress`: from where a document stands to its end, whatever happens to the messages in between."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import pdfs
from app.worker import run_worker
from core.settings import Settings
from datastores.models import DocumentStatus
from owner import as_owner, uuid_of
from product import PROGRESS, OperationFailed, Person, Product, running_product
from resolvers import documents

TEXT = b"The harbour of Vexholm freezes in December.\n"
ORDER = [status.value for status in DocumentStatus]


def watch(person: Person, document_id: str) -> Any:
    """The events of the subscription."""
    return person.subscribe(PROGRESS, "documentProgress", id=document_id)


async def uploaded(person: Person, content: bytes = TEXT, name: str = "notes.txt") -> str:
    """The id of a document that nobody has read yet."""
    return (await person.upload(content, name))["document"]["id"]  # type: ignore[no-any-return]


async def forget_heartbeat(product: Product, document_id: str) -> None:
    """As if its job had not been heard of for an hour."""
    statement = "UPDATE documents SET heartbeat_at = now() - interval '1 hour' WHERE id = $1"
    await as_owner(product.settings, statement, uuid_of(document_id))


@pytest.mark.long
async def test_progress_goes_from_the_present_state_forward_to_ready_and_completes(settings: Settings) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        document_id = await uploaded(person, pdfs.leaflets(130), "manual.pdf")
        events = []
        working = None
        async for event in watch(person, document_id):
            events.append(event)
            # The first event is there before anybody works on the document.
            working = working or asyncio.create_task(run_worker(settings))
        assert working is not None
        working.cancel()
        await asyncio.wait({working})
    first, last = events[0], events[-1]
    assert (first["status"], first["pagesDone"], first["chunksDone"]) == ("QUEUED", 0, 0)
    assert (last["status"], last["pagesDone"], last["pagesTotal"], last["failure"]) == ("READY", 130, 130, None)
    assert last["chunksDone"] == last["chunksTotal"] >= 130
    steps = [(ORDER.index(event["status"]), event["pagesDone"], event["chunksDone"]) for event in events]
    assert steps == sorted(steps)
    # Pages come in batches, and chunks too: somebody who watches sees it move.
    assert len({event["pagesDone"] for event in events}) >= 3
    assert {event["status"] for event in events} == {"QUEUED", "PARSING", "EMBEDDING", "READY"}
    assert all(event["document"]["id"] == document_id for event in events)


async def test_a_finished_document_gives_its_one_last_event(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    (event,) = [event async for event in watch(person, document_id)]
    assert (event["status"], event["chunksDone"], event["chunksTotal"]) == ("READY", 1, 1)


async def test_a_failed_document_s_last_event_carries_why(product: Product) -> None:
    person = await product.sign_up()
    document_id = await uploaded(person, pdfs.encrypted(), "secret.pdf")
    last = [event async for event in watch(person, document_id)][-1]
    assert (last["status"], last["failure"]["code"]) == ("FAILED", "ENCRYPTED")
    assert last["failure"]["retryable"] is False
    (again,) = [event async for event in watch(person, document_id)]
    assert again == last


async def test_many_may_watch_one_document(product: Product) -> None:
    person = await product.sign_up()
    document_id = await uploaded(person, pdfs.manual(20), "manual.pdf")

    async def last_of(watched: Any) -> dict[str, Any]:
        return [event async for event in watched][-1]  # type: ignore[no-any-return]

    ends = await asyncio.gather(*(last_of(watch(person, document_id)) for _ in range(10)))
    assert [end["status"] for end in ends] == ["READY"] * 10


@pytest.mark.parametrize(
    ("document_id", "words"),
    [
        ("", "not an id"),
        ("nonsense", "not an id"),
        ("doc_" + "g" * 32, "not an id"),
        ("cnv_" + "0" * 32, "another kind"),
        ("doc_" + "0" * 32, "no such document"),
    ],
)
async def test_an_id_that_is_none_is_refused(product: Product, document_id: str, words: str) -> None:
    person = await product.sign_up()
    with pytest.raises(OperationFailed, match=words) as refused:
        [event async for event in watch(person, document_id)]
    assert "BAD_USER_INPUT" in str(refused.value)


async def test_a_stranger_may_not_watch(product: Product) -> None:
    person = await product.sign_up()
    document_id = await person.ready_document(TEXT)
    stranger = Person(product, "", "", "")
    with pytest.raises(OperationFailed, match="UNAUTHENTICATED"):
        [event async for event in watch(stranger, document_id)]
    other = await product.sign_up()
    with pytest.raises(OperationFailed, match="no such document"):
        [event async for event in watch(other, document_id)]


async def test_when_redis_has_lost_everything_the_document_is_still_read_and_its_watcher_still_told(
    settings: Settings,
) -> None:
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        document_id = await uploaded(person)
        events = watch(person, document_id)
        assert (await anext(events))["status"] == "QUEUED"
        await product.services.redis.flushdb()
        await forget_heartbeat(product, document_id)
        working = asyncio.create_task(run_worker(settings))
        rest = [event async for event in events]
        working.cancel()
        await asyncio.wait({working})
    assert rest[-1]["status"] == "READY"


async def test_a_watcher_looks_by_itself_where_no_message_comes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "SILENCE_SECONDS", 0.3)
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        document_id = await uploaded(person)
        events = watch(person, document_id)
        assert (await anext(events))["status"] == "QUEUED"
        statement = "UPDATE documents SET status = $2, {} WHERE id = $1"
        values = "failure_code = 'CORRUPT', failure_message = 'Broken.', failure_retryable = false"
        await as_owner(settings, statement.format("pages_done = 3"), uuid_of(document_id), "PARSING")
        assert (await anext(events))["pagesDone"] == 3
        await as_owner(settings, statement.format(values), uuid_of(document_id), "FAILED")
        (last,) = [event async for event in events]
        assert last["failure"] == {"code": "CORRUPT", "message": "Broken.", "retryable": False}


async def test_a_document_that_is_deleted_while_it_is_watched_ends_the_subscription(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "SILENCE_SECONDS", 0.3)
    async with running_product(settings, worker=False) as product:
        person = await product.sign_up()
        document_id = await uploaded(person)
        events = watch(person, document_id)
        await anext(events)
        await as_owner(settings, "DELETE FROM documents WHERE id = $1", uuid_of(document_id))
        assert [event async for event in events] == []
