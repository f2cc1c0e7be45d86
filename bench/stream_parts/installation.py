"""What is measured stands on: PostgreSQL and Redis of its own, a person, answers; and the server processes."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
import redis.asyncio

from app.embedded.ports import free_port
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.ids import NodeKind, TenantId, new_id, parse_id, to_global
from core.security import TokenSigner
from core.settings import Settings
from datastores import redis_keys
from datastores.answer_events import Started, encode_event
from datastores.migrate import migrate
from datastores.postgres import Postgres
from datastores.questions import add_question
from stream_parts.publisher import GENERATION
from stream_parts.servers import PING_SECONDS

BENCH = Path(__file__).parents[1]
SERVER_CORE, OTHER_CORE = 0, 1
LEASE_SECONDS = 7_200
_SIGN_UP = """mutation { signUp(input: {organization: "Bench", name: "Pat", email: "pat@example.test",
  password: "a good password"}) { ... on SignUpPayload { session { accessToken user { id } } } } }"""
_START = """mutation { startConversation(input: {}) {
  ... on StartConversationPayload { conversation { id } } } }"""


def pin(pid: int, core: int) -> None:
    """Have a process with all its threads run on one core, where there is more than one."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {core})


@dataclass
class Server:
    """One process that serves."""

    process: asyncio.subprocess.Process
    port: int

    def cpu_us(self) -> float:
        """Microseconds of processor time that it has used, by the kernel's clock."""
        stats = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(path.read_text().split()[0]) for path in stats) / 1_000

    def rss_kib(self) -> int:
        """Its memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@dataclass
class Installation:
    """Answers whose logs are written by the bench."""

    settings: Settings
    redis: redis.asyncio.Redis
    token: str = ""
    tenant: TenantId = field(default_factory=lambda: TenantId(UUID(int=0)))
    answers: list[str] = field(default_factory=list)

    async def found(self, count: int) -> None:
        """A person with so many answers, by the product's own means."""
        async with self.serving("product") as server, aiohttp.ClientSession() as http:
            session = (await _post(http, server.port, _SIGN_UP, None))["signUp"]["session"]
            self.token = session["accessToken"]
            conversation = (await _post(http, server.port, _START, self.token))["startConversation"]["conversation"]
        assert self.settings.secret_key is not None
        secret = self.settings.secret_key.get_secret_value()
        self.tenant = TokenSigner(secret, access_ttl=900).check_access(self.token).tenant_id
        person = parse_id(NodeKind.USER, session["user"]["id"])
        ids = [new_id() for _ in range(count)]
        await self._lease(ids)
        postgres = Postgres(self.settings)
        async with postgres.write(self.tenant) as tx:
            for answer in ids:
                await add_question(
                    tx,
                    conversation_id=parse_id(NodeKind.CONVERSATION, conversation["id"]),
                    author_id=person,
                    text="?",
                    title="Bench",
                    idempotency_key=None,
                    answer_id=answer,
                )
        await postgres.aclose()
        self.answers = [to_global(NodeKind.ANSWER, answer) for answer in ids]

    async def begin(self, answers: Sequence[str]) -> None:
        """Empty logs with their first event, which nobody but the bench writes on."""
        ids = [parse_id(NodeKind.ANSWER, answer) for answer in answers]
        await self._lease(ids)
        async with self.redis.pipeline(transaction=False) as pipe:
            for answer in ids:
                log, meta = redis_keys.answer_log(self.tenant, answer), redis_keys.answer_meta(self.tenant, answer)
                pipe.delete(log)
                pipe.hset(meta, mapping={"epoch": 1, "generation": GENERATION})
                pipe.rpush(log, encode_event(GENERATION, 1, Started(answer, 1)))
            await pipe.execute()

    async def _lease(self, ids: Sequence[UUID]) -> None:
        async with self.redis.pipeline(transaction=False) as pipe:
            for answer in ids:
                pipe.set(redis_keys.answer_lease(self.tenant, answer), 1, ex=LEASE_SECONDS)
            await pipe.execute()

    @asynccontextmanager
    async def serving(self, peer: str, **environment: str) -> AsyncIterator[Server]:
        """One of the servers, on a core of its own."""
        port = free_port()
        set_fields = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        given = {name.upper(): _as_variable(value) for name, value in set_fields.items()} | environment
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "stream_parts.servers", peer, str(port)),
            cwd=BENCH,
            env={"PATH": os.environ["PATH"], **given, "PORT": str(port), "TENANT": self.tenant.hex},
            stdout=asyncio.subprocess.DEVNULL,
        )
        server = Server(process, port)
        try:
            await _until_listening(process, port)
            pin(process.pid, SERVER_CORE)
            yield server
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _until_listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.returncode is None, "the server did not start"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionError:
                await asyncio.sleep(0.1)
            else:
                writer.close()
                return


async def _post(http: aiohttp.ClientSession, port: int, query: str, token: str | None) -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with http.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, headers=headers) as response:
        return (await response.json())["data"]


def _as_variable(value: object) -> str:
    return value.get_secret_value() if hasattr(value, "get_secret_value") else str(value)


@asynccontextmanager
async def installation(folder: Path, answers: int) -> AsyncIterator[Installation]:
    """Servers of the bench's own, in a folder that is thrown away."""
    postgres, kept = EmbeddedPostgres(folder, scratch=True), EmbeddedRedis(folder, scratch=True)
    try:
        postgres.start()
        kept.start()
        plenty = {
            f"rate_limit_{name}": 1_000_000
            for of in ("", "sign_up_", "sockets_")
            for name in (f"{of}burst", "requests_per_minute" if not of else f"{of}per_minute")
        }
        settings = Settings(
            database_owner_url=postgres.owner_url,
            database_url=postgres.app_url,
            database_platform_url=postgres.platform_url,
            redis_url=kept.url,
            secret_key=secrets.token_hex(32),  # type: ignore[arg-type]
            data_dir=folder / "data",
            access_token_ttl=LEASE_SECONDS,
            socket_ping_interval=PING_SECONDS,
            socket_ping_timeout=PING_SECONDS,
            sockets_per_person=100_000,
            sockets_per_address=100_000,
            **plenty,  # type: ignore[arg-type]
        )
        await migrate(settings)
        client = redis.asyncio.from_url(kept.url)
        await client.config_set("client-output-buffer-limit", "pubsub 0 0 0")
        measured = Installation(settings, client)
        await measured.found(answers)
        for pid in (postgres.pid, kept.pid):
            if pid is not None:
                pin(pid, OTHER_CORE)
        yield measured
        await client.aclose()
    finally:
        kept.stop(at_once)
        postgres.stop(at_once)
