"""All documents into another vector space: the old one serves until all is done, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from ingesting import job_services, queued, worker_process
from reembedding_org import Org

from core.ids import NodeKind, to_global
from core.settings import Settings
from datastores.reembedding import LEFTOVERS_AFTER
from jobs import embedding, reembed
from jobs.services import JobServices
from openai_embeddings import EmbeddingsServer
from openai_server import Refuse, Until
from owner import until
from product import Product, running_product
from wire import openai_embeddings

LOCAL, HOSTED = "all-MiniLM-L6-v2", "text-embedding-3-small@1536"
VEXHOLM = "The capital of Norlandia is Vexholm. It was founded in 1432 by Queen Astrid."
PASSAGES = '{ viewer { passages(query: "When was Vexholm founded?") { distance chunk { text } } } }'
BATCH = 4


@pytest.fixture
async def made(settings: Settings) -> AsyncIterator[tuple[EmbeddingsServer, Settings]]:
    async with openai_embeddings(settings, openai_embedding_batch=BATCH) as both:
        yield both


@pytest.fixture
def server(made: tuple[EmbeddingsServer, Settings]) -> EmbeddingsServer:
    return made[0]


@pytest.fixture
async def idle(made: tuple[EmbeddingsServer, Settings]) -> AsyncIterator[Product]:
    """A product without a worker, whose new organisations have hosted vectors."""
    async with running_product(made[1], worker=False) as product:
        # An API warms its model up, which must not be what a test's fault meets.
        await made[0].arrived.wait()
        yield product


@pytest.fixture
async def services(idle: Product, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[JobServices]:
    """What a worker has. Four chunks are read at a time."""
    monkeypatch.setattr(reembed, "CHUNK_BATCH", 8 * BATCH)
    monkeypatch.setattr(embedding, "EMBEDDING_BACKOFF", 0.01)
    async with job_services(idle.settings) as made:
        yield made


@pytest.fixture
async def org(idle: Product, services: JobServices) -> Org:
    return Org(await idle.sign_up(), services)


def _texts(count: int) -> list[str]:
    return [f"Number {number} lives in street {number} of Vexholm." for number in range(count)]


async def test_documents_are_led_into_another_space_and_the_old_one_serves_until_then(
    org: Org, server: EmbeddingsServer
) -> None:
    await org.founded_in(LOCAL)
    await org.add(VEXHOLM, *_texts(9))
    assert await org.stands() == {"model": LOCAL, "models": [HOSTED, LOCAL], "reembedding": None}
    asked = await org.ask()
    assert asked["embeddings"] == {
        "model": LOCAL,
        "reembedding": {"model": HOSTED, "status": "RUNNING", "chunksDone": 0},
    }
    wait = Until()
    server.faults = [wait]
    running = asyncio.create_task(org.run())
    await _until_asked(server, 1)
    assert (await org.person.query(PASSAGES))["viewer"]["passages"][0]["chunk"]["text"] == VEXHOLM
    assert (await org.stands())["model"] == LOCAL
    wait.event.set()
    await running
    stands = await org.stands()
    assert stands["model"] == HOSTED
    assert stands["reembedding"].pop("finishedAt") is not None
    assert stands["reembedding"] == {
        "model": HOSTED,
        "status": "COMPLETED",
        "chunksDone": 10,
        "chunksTotal": 10,
        "failure": None,
    }
    # An answer that has begun may search the old ones yet.
    assert await org.vectors() == {LOCAL: 10, HOSTED: 10}
    await org.run()
    assert await org.vectors() == {LOCAL: 10, HOSTED: 10}
    assert server.batches == [4, 4, 2]
    server.vectors = lambda text, size: [1.0] * size
    await org.person.query(PASSAGES)
    assert server.batches == [4, 4, 2, 1]
    await org.age()
    await org.run()
    assert await org.vectors() == {HOSTED: 10}
    assert await reembed.sweep_reembeddings({"services": org.services}) == 0
    assert LEFTOVERS_AFTER.total_seconds() >= 300


@pytest.mark.parametrize("dimensions", [384, 768, 1024, 3072])
async def test_a_space_may_have_any_dimensions(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, dimensions: int
) -> None:
    async with openai_embeddings(settings, openai_embedding_dimensions=dimensions) as (server, changed):
        server.vectors = lambda text, size: [1.0 if "Vexholm" in text else -1.0] * size
        async with running_product(changed, worker=False) as product, job_services(changed) as services:
            org = Org(await product.sign_up(), services)
            await org.founded_in(LOCAL)
            await org.add(VEXHOLM)
            assert (await org.ask())["__typename"] == "ReembedDocumentsPayload"
            await org.run()
            assert await org.owner("SELECT vector_dims(vector) FROM embeddings WHERE tenant_id = $1 ORDER BY 1") == [
                (size,) for size in sorted((384, dimensions))
            ]
            (passage,) = (await org.person.query(PASSAGES))["viewer"]["passages"]
            assert passage["distance"] == pytest.approx(0.0, abs=1e-3)


async def test_one_that_is_cut_off_goes_on_where_it_stopped(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(12))
    await org.ask()
    # In the middle of the second batch the worker vanishes without a word …
    server.faults, wait = [Until()], Until()
    server.faults[0].event.set()  # type: ignore[union-attr]
    server.faults.append(wait)
    vanished = asyncio.create_task(org.run())
    await _until_asked(server, 2)
    await org.age()
    await org.run()
    assert (await org.stands())["model"] == HOSTED
    # … and comes back when another has done its work: it can write nothing.
    wait.event.set()
    await vanished
    assert await org.vectors() == {LOCAL: 12, HOSTED: 12}
    assert sum(server.batches) == 12 + BATCH
    assert (await org.stands())["reembedding"]["chunksDone"] == 12


async def test_a_worker_that_is_told_to_end_gives_it_back_at_once(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(6))
    await org.ask()
    server.faults = [Until()]
    running = asyncio.create_task(org.run())
    await _until_asked(server, 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await reembed.sweep_reembeddings({"services": org.services}) == 1
    await org.run()
    assert (await org.stands())["model"] == HOSTED


async def test_a_slice_that_is_over_leaves_the_rest_to_the_next(
    org: Org, server: EmbeddingsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(6))
    await org.ask()
    monkeypatch.setattr(reembed, "SLICE_SECONDS", 0.0)
    await org.run()
    assert (server.batches, (await org.stands())["reembedding"]["status"]) == ([], "RUNNING")
    monkeypatch.setattr(reembed, "SLICE_SECONDS", 60.0)
    await org.run()
    assert (await org.stands())["model"] == HOSTED


async def test_what_is_read_meanwhile_comes_along(org: Org, server: EmbeddingsServer) -> None:
    await org.add(*_texts(2))
    late = await queued(org.person.product, VEXHOLM.encode(), "late.txt", org.person)
    wait = Until()
    server.faults = [wait]
    before = len(server.batches)
    reading = asyncio.create_task(late.run(org.services))
    await _until_asked(server, before + 1)
    await org.ask(LOCAL)
    await org.run()
    assert (await org.stands())["model"] == LOCAL
    assert (await late.state()).status == "EMBEDDING"
    # It was on its way into the old space, and finds out when it would have been READY.
    wait.event.set()
    await reading
    assert (await late.state()).status == "READY"
    assert await org.vectors() == {HOSTED: 2, LOCAL: 3}
    assert (await org.person.query(PASSAGES))["viewer"]["passages"][0]["chunk"]["text"] == VEXHOLM


async def test_what_has_become_ready_behind_the_pass_is_found_before_the_switch(
    org: Org, server: EmbeddingsServer
) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(2))
    await org.ask()
    wait = Until()
    server.faults = [wait]
    running = asyncio.create_task(org.run())
    await _until_asked(server, 1)
    await org.add(VEXHOLM)
    wait.event.set()
    await running
    assert await org.vectors() == {LOCAL: 3, HOSTED: 3}
    assert (await org.stands())["model"] == HOSTED


async def test_a_document_that_is_deleted_meanwhile_is_no_trouble(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(3))
    await org.ask()
    wait = Until()
    server.faults = [wait]
    running = asyncio.create_task(org.run())
    await _until_asked(server, 1)
    await org.owner("DELETE FROM documents WHERE tenant_id = $1 AND name = '1.txt'")
    wait.event.set()
    await running
    assert await org.vectors() == {LOCAL: 2, HOSTED: 2}
    assert (await org.stands())["model"] == HOSTED


async def test_a_model_that_is_away_is_waited_for_and_the_reason_is_seen(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(5))
    await org.ask()
    server.fault = Refuse(503)
    await org.run()
    seen = (await org.stands())["reembedding"]
    assert (seen["status"], seen["failure"]["code"], seen["failure"]["retryable"]) == (
        "RUNNING",
        "PROVIDER_UNAVAILABLE",
        True,
    )
    assert len(server.batches) == embedding.EMBEDDING_TRIES
    # Not before its time.
    await org.run()
    assert len(server.batches) == embedding.EMBEDDING_TRIES
    ((pause,),) = await org.owner(
        "SELECT heartbeat_at > now() - interval '60 s' FROM reembeddings WHERE tenant_id = $1"
    )
    assert pause
    server.fault = None
    await org.age()
    await org.run()
    assert (await org.stands())["reembedding"] | {"finishedAt": None} == {
        "model": HOSTED,
        "status": "COMPLETED",
        "chunksDone": 5,
        "chunksTotal": 5,
        "finishedAt": None,
        "failure": None,
    }


async def test_a_key_that_is_refused_fails_it_and_asking_again_goes_on(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(6))
    await org.ask()
    done = Until()
    done.event.set()
    server.faults = [done, Refuse(401)]
    await org.run()
    stands = await org.stands()
    assert (stands["model"], stands["reembedding"]["status"]) == (LOCAL, "FAILED")
    assert stands["reembedding"]["failure"]["code"] == "PROVIDER_AUTH"
    assert await org.vectors() == {LOCAL: 6, HOSTED: 4}
    assert await reembed.sweep_reembeddings({"services": org.services}) == 0
    assert (await org.ask())["embeddings"]["reembedding"]["status"] == "RUNNING"
    server.asked.clear()
    await org.run()
    assert server.batches == [2]
    assert await org.vectors() == {LOCAL: 6, HOSTED: 6}


async def test_asking_for_what_is_there_is_a_conflict_and_calls_off_what_runs(
    org: Org, server: EmbeddingsServer
) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(6))
    assert (await org.ask(LOCAL))["__typename"] == "Conflict"
    assert await org.owner("SELECT 1 FROM reembeddings WHERE tenant_id = $1") == []
    refused = await org.ask("gpt-4@7")
    assert (refused["__typename"], refused["field"]) == ("InvalidInput", "model")
    assert HOSTED in refused["reason"]
    await org.ask()
    done, wait = Until(), Until()
    done.event.set()
    server.faults = [done, wait]
    running = asyncio.create_task(org.run())
    await _until_asked(server, 2)
    # Asking twice is asking once.
    assert (await org.ask())["embeddings"]["reembedding"]["chunksDone"] == 4
    called_off = await org.ask(LOCAL)
    assert called_off["embeddings"]["reembedding"] == {"model": HOSTED, "status": "CANCELLED", "chunksDone": 4}
    wait.event.set()
    await running
    assert await org.vectors() == {LOCAL: 6, HOSTED: 4}
    await org.run()
    assert await org.vectors() == {LOCAL: 6}
    assert (await org.stands())["model"] == LOCAL


async def test_it_is_audited_and_a_suspended_organisation_s_rests(org: Org, server: EmbeddingsServer) -> None:
    await org.founded_in(LOCAL)
    await org.add(VEXHOLM)
    await org.ask()
    rows = await org.owner(
        "SELECT targets, outcome FROM audit_log WHERE tenant_id = $1 AND action = 'reembedDocuments'"
    )
    assert rows == [([to_global(NodeKind.TENANT, org.person.tenant_id)], "SUCCEEDED")]
    await org.owner("UPDATE tenants SET suspended_at = now() WHERE id = $1")
    assert await reembed.sweep_reembeddings({"services": org.services}) == 0
    await org.run()
    assert server.batches == []


@pytest.mark.long
@pytest.mark.timeout(120)  # workers load for seconds on a busy machine
async def test_a_worker_that_is_killed_is_followed_by_another(
    org: Org, server: EmbeddingsServer, made: tuple[EmbeddingsServer, Settings]
) -> None:
    await org.founded_in(LOCAL)
    await org.add(*_texts(5 * BATCH))
    await org.ask()
    names = ("embedding_provider", "openai_embedding_base_url")
    values = {name.upper(): str(getattr(made[1], name)) for name in names} | {"OPENAI_EMBEDDING_BATCH": str(BATCH)}
    for killed_at in (1, 2):
        wait = Until()
        server.faults, passed = [], Until()
        passed.event.set()
        server.faults = [*([passed] * (killed_at - 1)), wait]
        before = len(server.batches)
        async with worker_process(made[1], **values) as process:
            await _until_asked(server, before + killed_at)
            process.kill()
            await process.wait()
        await org.age()
    server.faults = []
    async with worker_process(made[1], **values):

        async def switched() -> bool:
            return (await org.stands())["model"] == HOSTED

        await until(switched)
    assert await org.vectors() == {LOCAL: 5 * BATCH, HOSTED: 5 * BATCH}


async def _until_asked(server: EmbeddingsServer, calls: int) -> None:
    async def asked() -> bool:
        return len(server.batches) >= calls

    await until(asked)
