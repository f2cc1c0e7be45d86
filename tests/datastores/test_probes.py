"""What is said about a server that is not as the settings have it; and never a password."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from core.errors import ConfigurationError
from core.settings import Settings
from datastores import probes
from datastores.probes import probe_postgres, probe_redis


async def complaint_about_postgres(url: str, **more: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await probe_postgres(Settings(), "DATABASE_URL", url, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    return str(caught.value)


async def complaint_about_redis(url: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        await probe_redis(Settings(redis_url=url))
    assert "\n" not in str(caught.value)
    assert "hidden" not in str(caught.value)
    return str(caught.value)


def with_password(url: str, password: str) -> str:
    """The URL with another password."""
    scheme, _, rest = url.partition("://")
    log_in, _, address = rest.rpartition("@")
    return f"{scheme}://{log_in.partition(':')[0]}:{password}@{address}"


async def test_servers_that_answer_are_passed(settings: Settings) -> None:
    for url in (settings.database_url, settings.database_platform_url, settings.database_owner_url):
        assert url is not None
        await probe_postgres(settings, "DATABASE_URL", url)
    await probe_redis(settings)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "could not connect to 127.0.0.1:1 (refused). Start it, or correct DATABASE_URL."),
        ("localhost:1", "could not connect to localhost:1 (refused)."),
        ("[::1]:1", "could not connect to [::1]:1 ("),
        ("no-such-host.invalid", "could not connect to no-such-host.invalid:5432 (no such host)."),
        ("127.0.0.1:1", "could not connect to 127.0.0.1:1"),
    ],
)
async def test_a_database_that_is_away_is_told_with_its_address_and_what_to_do(address: str, words: str) -> None:
    said = await complaint_about_postgres(f"postgresql://ada:hidden@{address}/colloquy")
    assert said.startswith(f"DATABASE_URL: {words}")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1/0", "could not connect to 127.0.0.1:1 (refused). Start it, or correct REDIS_URL."),
        ("localhost:1", "could not connect to localhost:1 (refused)."),
        ("no-such-host.invalid", "could not connect to no-such-host.invalid:6379 (no such host)."),
    ],
)
async def test_a_redis_that_is_away_is_told_with_its_address_and_what_to_do(address: str, words: str) -> None:
    assert (await complaint_about_redis(f"redis://:hidden@{address}")).startswith(f"REDIS_URL: {words}")


@asynccontextmanager
async def deaf_server() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    ending = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ending.wait()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ending.set()
        server.close()
        await server.wait_closed()


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PROBE_SECONDS", 0.4)
    async with deaf_server() as address:
        assert "(no answer within" in await complaint_about_postgres(f"postgresql://ada:hidden@{address}/colloquy")
        assert "(no answer within" in await complaint_about_redis(f"redis://:hidden@{address}/0")


async def test_a_wrong_password_is_told_and_passes_where_the_role_is_still_to_be_made(settings: Settings) -> None:
    assert settings.database_url is not None
    url = with_password(settings.database_url, "hidden")
    said = await complaint_about_postgres(url)
    assert "does not let 'colloquy_app' in" in said
    assert "colloquy migrate" in said
    await probe_postgres(settings, "DATABASE_URL", url, role_expected=False)


@pytest.mark.parametrize("role_expected", [True, False])
async def test_a_database_that_is_not_there_is_told(settings: Settings, role_expected: bool) -> None:
    assert settings.database_url is not None
    url = settings.database_url.rpartition("/")[0] + "/no_such_database"
    said = await complaint_about_postgres(url, role_expected=role_expected)
    assert "has no database 'no_such_database'" in said


async def test_a_wrong_password_or_number_of_redis_is_told(settings: Settings) -> None:
    assert settings.redis_url is not None
    base = settings.redis_url.rpartition("/")[0]
    assert " refuses: " in await complaint_about_redis(with_password(settings.redis_url, "hidden"))
    assert "DB index is out of range" in await complaint_about_redis(f"{base}/9999")


BAD_PORT, BAD_PASSWORD = "ada:hidden@127.0.0.1:many/x", "ada:hid@hidden@127.0.0.1:1/x"


@pytest.mark.parametrize(
    ("complain", "url", "words"),
    [
        (complaint_about_postgres, "hidden", "not a URL"),
        (complaint_about_postgres, f"postgresql://{BAD_PORT}", "not a URL"),
        (complaint_about_postgres, "postgresql://ada:hidden@127.0.0.1:99999/x", "not a URL"),
        (complaint_about_postgres, f"postgresql://{BAD_PASSWORD}", "%40"),
        (complaint_about_postgres, "mysql://ada:hidden@127.0.0.1/x", "is not PostgreSQL"),
        (complaint_about_postgres, "postgresql://ada:hidden@127.0.0.1/x?sslmode=maybe", "sslmode=maybe is unknown"),
        (complaint_about_postgres, "postgresql://ada:hidden@127.0.0.1:1/x?colour=red", "parameter after the ?"),
        (complaint_about_redis, f"redis://{BAD_PORT}", "not a URL"),
        (complaint_about_redis, "redis://:hidden/hidden@127.0.0.1:1/0", "%2F"),
        (complaint_about_redis, "redis://:hidden@127.0.0.1:1/0?colour=red", "parameter after the ?"),
    ],
)
async def test_a_url_that_is_not_understood_is_told_without_its_password(
    complain: Callable[[str], asyncio.Future[str]], url: str, words: str
) -> None:
    assert words in await complain(url)
