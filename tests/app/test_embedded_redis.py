"""The embedded Redis: what it lets in, and what it recovers from."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import redis as client
from waiting import until

from app.embedded.processes import at_once
from app.embedded.redis import EmbeddedRedis
from core.errors import ConfigurationError


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path)
    yield server
    server.stop(at_once)


def ask(url: str, *command: str) -> object:
    with client.Redis.from_url(url, decode_responses=True) as connection:
        return connection.execute_command(*command)


def test_it_never_evicts_and_keeps_a_file(redis: EmbeddedRedis) -> None:
    redis.start()
    assert ask(redis.url, "CONFIG", "GET", "maxmemory-policy") == ["maxmemory-policy", "noeviction"]
    assert ask(redis.url, "CONFIG", "GET", "appendonly") == ["appendonly", "yes"]
    assert str(ask(redis.url, "INFO", "server")).find("6.2.") > 0


def test_what_was_answered_survives_a_restart(redis: EmbeddedRedis, tmp_path: Path) -> None:
    redis.start()
    url = redis.url
    ask(url, "SET", "kept", "yes")
    redis.stop()
    again = EmbeddedRedis(tmp_path)
    again.start()
    try:
        assert again.url == url
        assert ask(url, "GET", "kept") == "yes"
    finally:
        again.stop(at_once)


def test_only_the_password_gets_in_from_this_machine_alone(redis: EmbeddedRedis, tmp_path: Path) -> None:
    redis.start()
    port = urlsplit(redis.url).port
    with pytest.raises(client.AuthenticationError):
        ask(f"redis://127.0.0.1:{port}", "PING")
    process = psutil.Process(redis.pid)
    assert {c.laddr.ip for c in process.net_connections("all") if c.status == "LISTEN"} == {"127.0.0.1"}
    assert (urlsplit(redis.url).password or "?") not in " ".join(process.cmdline())
    for name in ("server.json", "redis.conf"):
        assert stat.S_IMODE((tmp_path / "redis" / name).stat().st_mode) == 0o600


def test_a_killed_server_starts_again_with_its_data(redis: EmbeddedRedis) -> None:
    redis.start()
    ask(redis.url, "CONFIG", "SET", "appendfsync", "always")
    ask(redis.url, "SET", "kept", "yes")
    os.kill(redis.pid or 0, signal.SIGKILL)
    until(lambda: redis.poll() is not None)
    redis.start()
    assert ask(redis.url, "GET", "kept") == "yes"


def test_a_server_that_a_killed_run_left_is_ended_first(redis: EmbeddedRedis, tmp_path: Path) -> None:
    redis.start()
    ask(redis.url, "SET", "kept", "yes")
    heir = EmbeddedRedis(tmp_path)
    heir.start()
    try:
        assert redis.poll() == 0
        assert ask(heir.url, "GET", "kept") == "yes"
    finally:
        heir.stop(at_once)


def test_a_damaged_file_is_set_aside_and_said_so_by_its_name(redis: EmbeddedRedis, tmp_path: Path) -> None:
    redis.start()
    ask(redis.url, "SET", "lost", "yes")
    redis.stop()
    (tmp_path / "redis" / "appendonly.aof").write_bytes(b"this is not a protocol\r\n" * 5)
    redis.start()
    assert ask(redis.url, "GET", "lost") is None
    assert len(list((tmp_path / "redis").glob("appendonly.aof.damaged-*"))) == 1


def test_another_port_is_taken_when_a_stranger_has_the_remembered_one(redis: EmbeddedRedis) -> None:
    redis.start()
    before = urlsplit(redis.url).port
    redis.stop()
    with socket.create_server(("127.0.0.1", before or 0)):
        redis.start()
        assert urlsplit(redis.url).port != before
        assert ask(redis.url, "PING") is True


def test_a_start_that_fails_says_what_the_server_said(redis: EmbeddedRedis, tmp_path: Path) -> None:
    # A folder where the file should be: neither damage that can be set aside, nor usable.
    (tmp_path / "redis" / "appendonly.aof").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        redis.start()
    assert redis.pid is None


def test_an_interrupted_start_leaves_no_process(redis: EmbeddedRedis, tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        redis.start(interrupt)
    everything = psutil.process_iter(["name"])
    assert not [one for one in everything if one.info["name"] == "redis-server" and _in(one, tmp_path)]


def test_a_stop_in_a_hurry_does_not_wait_for_a_server_that_is_stuck(redis: EmbeddedRedis) -> None:
    redis.start()
    psutil.Process(redis.pid).suspend()
    began = time.monotonic()
    redis.stop(at_once)
    assert time.monotonic() - began < 2
    assert redis.pid is None


def _in(process: psutil.Process, folder: Path) -> bool:
    try:
        return folder in Path(process.cwd()).parents
    except psutil.Error:
        return False
