"""`make run`, seen from outside: what it starts, what it says, what it recovers from, and that it leaves nothing."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from running_product import RunningProduct, a_free_port
from waiting import has_ended, until

from core.sealing import Sealer

pytestmark = pytest.mark.long

Start = Callable[..., RunningProduct]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[RunningProduct] = []

    def begin(folder: str = "data", port: int | None = None, **environment: str) -> RunningProduct:
        started.append(RunningProduct(tmp_path / folder, port, **environment))
        return started[-1]

    yield begin
    for product in reversed(started):
        product.close()


def test_it_comes_up_says_where_and_leaves_nothing_after_ctrl_c(start: Start) -> None:
    product = start()
    text = product.until("Ctrl-C")
    address = f"http://127.0.0.1:{product.port}"
    for line in (address, f"{address}/graphql", f"{address}/graphiql", f"{address}/healthz"):
        assert line in text
    assert "business@demo.colloquy.example  a-password" in text
    names = {process.name() for process in product.processes()}
    assert {"postgres", "redis-server"} <= names
    logs = product.data_dir / "logs"
    assert {"api.log", "worker.log", "seed.log", "postgres.log", "redis.log"} <= {log.name for log in logs.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in logs.iterdir()} == {0o600}
    assert logs.stat().st_mode & 0o777 == 0o700
    product.send(signal.SIGINT)
    assert product.ended() == 0
    assert "Stopped" in product.text
    assert product.processes() == []


def test_each_program_gets_the_addresses_and_only_the_owner_s_commands_the_owner_s(start: Start) -> None:
    product = start()
    product.until("Ctrl-C")
    for name in ("api", "worker"):
        record = product.record(name)
        assert record["DATABASE_URL"].startswith("postgresql://colloquy_app:")
        assert record["DATABASE_PLATFORM_URL"].startswith("postgresql://colloquy_platform:")
        assert record["DATABASE_OWNER_URL"] is None
        assert record["REDIS_URL"].startswith("redis://:")
        assert len(record["SECRET_KEY"]) >= 32
    for name in ("migrate", "seed"):
        assert product.record(name)["DATABASE_OWNER_URL"].startswith("postgresql://colloquy_owner:")


def test_a_second_start_keeps_the_secret_and_is_ready_within_eight_seconds(start: Start) -> None:
    product = start()
    product.until("Ctrl-C")
    secret, sealing = (product.record("api")[name] for name in ("SECRET_KEY", "ENCRYPTION_KEYS"))
    assert Sealer([sealing]).open("a", Sealer([sealing]).seal("a", "b")) == "b"
    product.send(signal.SIGTERM)
    assert product.ended() == 0
    again = start()
    again.until("Ctrl-C", patience=8.0)
    assert again.record("api")["SECRET_KEY"] == secret
    assert again.record("api")["ENCRYPTION_KEYS"] == sealing


def test_a_second_run_beside_the_first_says_who_is_there_and_what_to_do(start: Start) -> None:
    first = start()
    first.until("Ctrl-C")
    second = start()
    assert second.ended() == 1
    assert f"already running with the data in {first.data_dir}" in second.text
    assert f"http://127.0.0.1:{first.port}" in second.text
    assert "DATA_DIR=" in second.text
    connection = http.client.HTTPConnection("127.0.0.1", first.port, timeout=2)
    connection.request("GET", "/readyz")
    assert connection.getresponse().status == 200
    connection.close()


def test_a_taken_port_is_named_before_anything_is_started(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        product = start(port=port)
        assert product.ended() == 1
    assert f"PORT: 127.0.0.1:{port} is taken" in product.text
    assert not (product.data_dir / "postgres").exists()


def test_a_host_that_is_not_ours_is_named(start: Start) -> None:
    product = start(HOST="192.0.2.1")
    assert product.ended() == 1
    assert "HOST and PORT: cannot listen on 192.0.2.1" in product.text


@pytest.mark.parametrize("name", ["postgres", "redis-server"])
def test_a_server_that_is_killed_is_started_again(start: Start, name: str) -> None:
    product = start()
    product.until("Ctrl-C")
    before = product.server(name)
    assert before is not None
    before.kill()
    product.until("was ended by SIGKILL; starting it again")
    until(lambda: product.server(name) not in (None, before))
    product.send(signal.SIGINT)
    assert product.ended() == 0
    assert product.processes() == []


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_service_that_is_killed_is_started_again(start: Start, name: str) -> None:
    product = start()
    product.until("Ctrl-C")
    before = product.record(name)["pid"]
    psutil.Process(before).kill()
    product.until(f"{name} was ended by SIGKILL; starting it again")
    until(lambda: product.record(name)["pid"] != before)


def test_a_service_that_keeps_dying_ends_the_run_with_its_reason(start: Start) -> None:
    product = start()
    product.until("Ctrl-C")
    for _ in range(5):
        pid = product.record("worker")["pid"]
        psutil.Process(pid).kill()
        until(lambda pid=pid: product.record("worker")["pid"] != pid)  # type: ignore[misc]
    psutil.Process(product.record("worker")["pid"]).kill()
    assert product.ended() == 1
    assert "worker was ended by SIGKILL, too often within a minute" in product.text
    assert product.processes() == []


@pytest.mark.parametrize("name", ["migrate", "seed", "api", "worker"])
def test_a_program_that_fails_at_the_start_ends_the_run_with_its_last_words(start: Start, name: str) -> None:
    product = start(**{f"STAND_IN_{name.upper()}": "fail"})
    assert product.ended() == 1
    assert name in product.text
    assert "status 3" in product.text
    assert f"{name} cannot find its hat" in product.text
    assert product.processes() == []


@pytest.mark.parametrize("during", ["migrate", "seed"])
def test_ctrl_c_while_starting_leaves_nothing(start: Start, during: str) -> None:
    product = start(**{f"STAND_IN_{during.upper()}": "hang"})
    product.record(during)
    product.send(signal.SIGINT)
    assert product.ended() == 0
    assert product.processes() == []


def test_ctrl_c_while_the_database_is_being_made_leaves_nothing_and_the_next_start_works(start: Start) -> None:
    product = start()
    until(lambda: any((product.data_dir / "postgres").glob("18.init-*")))
    product.send(signal.SIGINT)
    assert product.ended() == 0
    assert product.processes() == []
    start().until("Ctrl-C")


def test_a_closed_terminal_ends_the_run_too(start: Start) -> None:
    product = start()
    product.until("Ctrl-C")
    product.send(signal.SIGHUP)
    assert product.ended() == 0
    assert product.processes() == []


def test_a_second_ctrl_c_does_not_wait_for_a_deaf_service(start: Start) -> None:
    product = start(STAND_IN_WORKER="deaf")
    product.until("Ctrl-C")
    api = psutil.Process(product.record("api")["pid"])
    product.send(signal.SIGINT)
    until(lambda: has_ended(api))
    product.send(signal.SIGINT)
    assert product.ended(patience=5.0) == 0
    assert product.processes() == []


def test_after_kill_9_of_the_supervisor_the_next_start_recovers_on_the_same_port(start: Start) -> None:
    product = start(STAND_IN_WORKER="deaf")
    product.until("Ctrl-C")
    left = psutil.Process(product.record("worker")["pid"])
    product.kill()
    again = start(port=product.port)
    again.until("process(es) that a killed run had left")
    again.until("Ctrl-C")
    assert not left.is_running()


def test_errors_of_a_service_reach_the_terminal(start: Start) -> None:
    product = start()
    product.until("Ctrl-C")
    connection = http.client.HTTPConnection("127.0.0.1", product.port, timeout=2)
    connection.request("GET", "/log-error")
    connection.getresponse().read()
    connection.close()
    product.until("api: 2026-01-01T00:00:00Z [error    ] the model is out of tune")


def test_servers_of_one_s_own_are_used_and_not_replaced(start: Start) -> None:
    product = start(
        DATABASE_URL="postgresql://someone:secret@db.example/colloquy", REDIS_URL="redis://cache.example:6379/0"
    )
    product.until("Ctrl-C")
    assert "DATABASE_OWNER_URL is not set" in product.text
    assert product.record("api")["DATABASE_URL"] == "postgresql://someone:secret@db.example/colloquy"
    assert product.record("api")["REDIS_URL"] == "redis://cache.example:6379/0"
    assert not {"postgres", "redis-server"} & {process.name() for process in product.processes()}
    assert not (product.data_dir / "migrate-environment.json").exists()


def test_two_data_folders_run_beside_each_other(start: Start) -> None:
    start("one").until("Ctrl-C")
    start("two", a_free_port()).until("Ctrl-C")
