"""The S3-compatible server is away, silent, dies, or does not let us in: told in bounded time, and nothing is left."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from core.errors import ConfigurationError
from core.settings import Settings
from datastores.storage.base import StorageError
from datastores.storage.opening import open_storage, probe_storage
from datastores.storage.s3 import MOST_BYTES, PART_BYTES
from datastores.storage.s3_wire import TRIES
from s3_server import KEY, SECRET, WIDE_KEY, S3Server
from storages import MIB, Kept, S3Behind, kept_in, pieces
from wire import Relay, make_certificate, relayed

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def settings(s3: S3Server, tmp_path: Path, prefix: str) -> Settings:
    """Of a storage on the server."""
    return s3.settings(Settings(data_dir=tmp_path / "data"), prefix)


@pytest.fixture
async def broken(s3: S3Server, settings: Settings, prefix: str) -> AsyncIterator[tuple[Kept, Relay]]:
    """A storage by way of a relay, whose requests may take two seconds."""
    async with relayed(f"{s3.url}/") as (url, relay):
        by_it = settings.model_copy(update={"s3_endpoint": url.removesuffix("/"), "s3_timeout": 2.0})
        async with kept_in(by_it, S3Behind(s3, prefix)) as kept:
            yield kept, relay


async def opened(kept: Kept) -> None:
    """Open the original."""
    async with kept.storage.open(kept.tenant_id, kept.document_id):
        pass


async def copied(kept: Kept) -> None:
    """Have it as a file."""
    async with kept.storage.local(kept.tenant_id, kept.document_id):
        pass


async def saved(kept: Kept) -> None:
    """Save a small one."""
    await kept.storage.save(kept.tenant_id, kept.document_id, pieces(1_000), MIB)


async def saved_in_parts(kept: Kept) -> None:
    """Save a large one."""
    await kept.storage.save(kept.tenant_id, kept.document_id, pieces(PART_BYTES + 1), 2 * PART_BYTES)


async def deleted(kept: Kept) -> None:
    """Delete it."""
    await kept.storage.delete(kept.tenant_id, kept.document_id)


ALL = (opened, copied, saved, saved_in_parts, deleted)


@asynccontextmanager
async def loop_stays_free() -> AsyncIterator[None]:
    """Inside the block nothing holds up the event loop for long."""
    longest, last = 0.0, time.monotonic()

    async def look() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
    assert longest < 0.5


@pytest.mark.parametrize("use", ALL)
@pytest.mark.parametrize("how", ["refuses", "is silent"])
async def test_a_server_that_is_away_is_told_in_bounded_time(
    broken: tuple[Kept, Relay], use: Callable[[Kept], Awaitable[None]], how: str
) -> None:
    kept, relay = broken
    if how == "refuses":
        await relay.close()
    else:
        relay.hang()
    began = time.monotonic()
    async with loop_stays_free():
        with pytest.raises(StorageError):
            await use(kept)
    # Its own time, which is 2 s, and for a busy machine as much again.
    assert time.monotonic() - began < 4
    await kept.assert_nothing_left()


@pytest.mark.parametrize("how", ["dies", "falls silent"])
async def test_a_server_that_is_lost_in_the_middle_of_an_upload_fails_it_and_what_is_left_can_be_deleted(
    broken: tuple[Kept, Relay], how: str
) -> None:
    kept, relay = broken

    async def breaking() -> AsyncIterator[bytes]:
        sent = 0
        async for piece in pieces(3 * PART_BYTES):
            yield piece
            sent += len(piece)
            if sent == 2 * PART_BYTES:
                assert await kept.behind.halves() == [kept.name]
                if how == "dies":
                    await relay.close()
                else:
                    relay.hang()

    with pytest.raises(StorageError):
        await kept.storage.save(kept.tenant_id, kept.document_id, breaking(), 4 * PART_BYTES)
    assert await kept.behind.whole() == {}
    assert await kept.behind.halves() == [kept.name], "there was nobody to tell"
    if how == "dies":
        await relay.listen_again()
    else:
        await relay.answer_again()
    await kept.storage.delete(kept.tenant_id, kept.document_id)
    await kept.assert_nothing_left()


async def test_an_upload_goes_on_where_connections_are_lost_for_a_moment(
    s3: S3Server, settings: Settings, prefix: str
) -> None:
    async with relayed(f"{s3.url}/") as (url, relay):
        by_it = settings.model_copy(update={"s3_endpoint": url.removesuffix("/")})

        async def dropping() -> AsyncIterator[bytes]:
            sent = 0
            async for piece in pieces(2 * PART_BYTES + 1):
                yield piece
                sent += len(piece)
                if sent == PART_BYTES:
                    await relay.drop(TRIES - 1)

        async with kept_in(by_it, S3Behind(s3, prefix)) as kept:
            stored = await kept.storage.save(kept.tenant_id, kept.document_id, dropping(), 4 * PART_BYTES)
            assert stored.byte_size == 2 * PART_BYTES + 1
            assert await kept.read() == b"".join([piece async for piece in pieces(2 * PART_BYTES + 1)])


async def test_a_server_that_is_lost_in_the_middle_of_reading_leaves_no_copy(broken: tuple[Kept, Relay]) -> None:
    kept, relay = broken
    await kept.storage.save(kept.tenant_id, kept.document_id, pieces(3 * MIB), 3 * MIB)
    async with kept.storage.open(kept.tenant_id, kept.document_id) as reader:
        assert len(await reader.read_at(0, 100)) == 100
        await relay.close()
        with pytest.raises(StorageError):
            await reader.read_at(2 * MIB, 100)
        await relay.listen_again()
        assert len(await reader.read_at(2 * MIB, 100)) == 100
    relay.hang()
    with pytest.raises(StorageError):
        await copied(kept)
    assert kept.copies() == []


@pytest.mark.parametrize("use", ALL)
@pytest.mark.parametrize(
    "changes",
    [
        {"s3_secret_access_key": SecretStr("a wrong one")},
        {"s3_access_key_id": SecretStr("nobody-s")},
        {"s3_bucket": "not-there", "s3_access_key_id": SecretStr(WIDE_KEY)},
    ],
    ids=["wrong secret", "wrong key", "no bucket"],
)
async def test_whoever_is_not_let_in_is_not_told_that_there_is_nothing(
    s3: S3Server, settings: Settings, prefix: str, changes: dict[str, object], use: Callable[[Kept], Awaitable[None]]
) -> None:
    async with kept_in(settings.model_copy(update=changes), S3Behind(s3, prefix)) as kept:
        with pytest.raises(StorageError):
            await use(kept)
        await kept.assert_nothing_left()


async def test_a_folder_that_cannot_be_written_is_told(
    s3: S3Server, settings: Settings, prefix: str, tmp_path: Path
) -> None:
    # A folder cannot be made where a file is: of the system's refusals the one that is the same for every account.
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "files").write_bytes(b"")
    (tmp_path / "data" / "copies").write_bytes(b"")
    async with kept_in(Settings(data_dir=tmp_path / "data"), S3Behind(s3, prefix)) as folder:
        with pytest.raises(StorageError):
            await saved(folder)
    async with kept_in(settings, S3Behind(s3, prefix)) as bucket:
        await saved(bucket)
        with pytest.raises(StorageError):
            await copied(bucket)


async def test_tls_is_checked_against_the_authorities_of_the_settings(
    s3: S3Server, settings: Settings, prefix: str, tmp_path: Path
) -> None:
    certificate, key = make_certificate()
    authorities = tmp_path / "authorities.pem"
    authorities.write_bytes(certificate)
    (tmp_path / "own.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "own.pem")
    relay = Relay()
    port = urlsplit(s3.url).port
    assert port is not None
    await relay.listen(port, context)
    try:
        secure = settings.model_copy(update={"s3_endpoint": f"https://127.0.0.1:{relay.port}"})
        with pytest.raises(ConfigurationError, match=r"S3_ENDPOINT: could not connect to https://.* \(TLS failed: "):
            await probe_storage(secure)
        trusting = secure.model_copy(update={"s3_root_certificates": authorities})
        await probe_storage(trusting)
        async with kept_in(trusting, S3Behind(s3, prefix)) as kept:
            await saved_in_parts(kept)
            assert len(await kept.read()) == PART_BYTES + 1
            await deleted(kept)
            await kept.assert_nothing_left()
    finally:
        await relay.close()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"s3_prefix": None}, None),
        ({"s3_endpoint": NOWHERE}, f"S3_ENDPOINT: could not connect to {NOWHERE} (refused). Start it, or correct"),
        ({"s3_endpoint": "http://nobody.invalid"}, "S3_ENDPOINT: could not connect to http://nobody.invalid (no such"),
        (
            {"s3_secret_access_key": SecretStr("hidden")},
            "does not take it (SignatureDoesNotMatch). Correct it, or S3_",
        ),
        ({"s3_access_key_id": SecretStr("hidden")}, "does not take it (InvalidAccessKeyId). Correct it, or S3_SECRET"),
        ({"s3_bucket": "not-there", "s3_access_key_id": SecretStr(WIDE_KEY)}, "has no bucket 'not-there'. Create it"),
        ({"s3_bucket": "not-there"}, "unfinished uploads of the bucket 'not-there' (AccessDenied). Give it the rights"),
        ({"s3_secret_access_key": None}, "S3_SECRET_ACCESS_KEY: not set, but S3_ACCESS_KEY_ID is. Set both, or n"),
        ({"s3_access_key_id": None}, "S3_ACCESS_KEY_ID: not set, but S3_SECRET_ACCESS_KEY is. Set both, or neither."),
        ({"s3_bucket": None}, "S3_BUCKET: not set, but S3_ENDPOINT is. Set both, or neither."),
        ({"s3_root_certificates": Path("/nowhere.pem")}, "S3_ROOT_CERTIFICATES: /nowhere.pem is no PEM file"),
        ({"upload_max_bytes": MOST_BYTES + 1}, f"UPLOAD_MAX_BYTES: {MOST_BYTES} at most where S3_BUCKET is set."),
    ],
)
async def test_the_start_says_what_is_wrong_by_the_name_of_the_setting(
    settings: Settings, changes: dict[str, object], words: str | None
) -> None:
    changed = settings.model_copy(update=changes)
    if words is None:
        await probe_storage(changed)
        return
    with pytest.raises(ConfigurationError) as told:
        await probe_storage(changed)
    assert words in str(told.value)
    assert "hidden" not in str(told.value)
    assert SECRET not in str(told.value)


async def test_the_start_does_not_wait_for_a_silent_server_for_ever(s3: S3Server, settings: Settings) -> None:
    async with relayed(f"{s3.url}/") as (url, relay):
        relay.hang()
        with pytest.raises(ConfigurationError, match="no answer within 5 s"):
            await probe_storage(settings.model_copy(update={"s3_endpoint": url.removesuffix("/")}))


async def test_keys_come_from_where_the_machine_has_them(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    bare = settings.model_copy(update={"s3_access_key_id": None, "s3_secret_access_key": None})
    with pytest.raises(ConfigurationError, match="S3_ACCESS_KEY_ID: not set, and this machine has no key of its own"):
        await probe_storage(bare)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    await probe_storage(bare)
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigurationError, match="S3_BUCKET: the client cannot be made"):
        async with open_storage(bare):
            pass
