"""The embedded PostgreSQL: what it lets in, and what it recovers from."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from waiting import until

from app.embedded.account import account_for_postgres, installation
from app.embedded.cluster import ClusterTools
from app.embedded.postgres import EmbeddedPostgres
from app.embedded.processes import at_once, left_behind, nothing
from core.errors import ConfigurationError

pytestmark = pytest.mark.long


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path, scratch=True)
    yield server
    server.stop(at_once)


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=5)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_first_start_gives_a_database_with_vectors_owned_by_an_ordinary_role(postgres: EmbeddedPostgres) -> None:
    assert postgres.is_new
    postgres.start()
    assert not postgres.is_new
    assert await value(postgres.owner_url, "SELECT '[1,2,3]'::halfvec(3)::text") == "[1,2,3]"
    assert (await value(postgres.owner_url, "SHOW server_version")).startswith("18.")
    rights = "SELECT rolsuper::int * 2 + rolbypassrls::int * 4 + rolcreaterole::int FROM pg_roles WHERE rolname = user"
    assert await value(postgres.owner_url, rights) == 1
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert await value(postgres.owner_url, owner) == "colloquy_owner"


async def test_outside_of_test_runs_the_owner_creates_roles_but_no_databases(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path)
    postgres.start()
    try:
        rights = "SELECT rolcreaterole AND NOT rolcreatedb FROM pg_roles WHERE rolname = user"
        assert await value(postgres.owner_url, rights) is True
        assert await value(postgres.owner_url, "SHOW fsync") == "on"
    finally:
        postgres.stop(at_once)


async def test_data_passwords_and_port_survive_a_restart(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.start()
    url = postgres.owner_url
    await value(url, "CREATE TABLE kept (n int)")
    postgres.stop()
    again = EmbeddedPostgres(tmp_path, scratch=True)
    again.start()
    try:
        assert again.owner_url == url
        assert await value(url, "SELECT count(*) FROM kept") == 0
    finally:
        again.stop(at_once)


async def test_only_the_right_password_gets_in_and_the_superuser_never(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    port = urlsplit(postgres.owner_url).port
    for user, refusal in (
        ("colloquy_owner", asyncpg.InvalidPasswordError),
        ("postgres", asyncpg.InvalidAuthorizationSpecificationError),
    ):
        with pytest.raises(refusal):
            await value(f"postgresql://{user}:wrong@127.0.0.1:{port}/colloquy", "SELECT 1")


def test_passwords_are_readable_by_their_owner_alone_and_not_in_ps(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.start()
    record = tmp_path / "postgres" / "server.json"
    assert stat.S_IMODE(record.stat().st_mode) == 0o600
    assert postgres.pid is not None
    password = json.loads(record.read_text())["owner"]
    assert password not in " ".join(psutil.Process(postgres.pid).cmdline())


def test_it_listens_on_loopback_alone(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    assert postgres.pid is not None
    listening = [c.laddr.ip for c in psutil.Process(postgres.pid).net_connections("all") if c.status == "LISTEN"]
    assert listening == ["127.0.0.1"]


async def test_a_killed_postmaster_with_living_backends_is_recovered_from(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path)
    postgres.start()
    try:
        await kill_and_start_again(postgres)
    finally:
        postgres.stop(at_once)


async def kill_and_start_again(postgres: EmbeddedPostgres) -> None:
    await value(postgres.owner_url, "CREATE TABLE kept (n int)")
    backends = psutil.Process(postgres.pid).children()
    # A backend that is stopped cannot notice that its postmaster is gone, and holds the shared memory.
    backends[0].suspend()
    os.kill(postgres.pid or 0, signal.SIGKILL)
    until(lambda: postgres.poll() is not None)
    assert postgres.poll() == -signal.SIGKILL
    assert backends[0].is_running()
    postgres.start()
    assert await value(postgres.owner_url, "SELECT count(*) FROM kept") == 0
    assert not any(backend.is_running() for backend in backends)


async def test_a_server_that_a_killed_run_left_is_ended_first(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.start()
    left = psutil.Process(postgres.pid)
    heir = EmbeddedPostgres(tmp_path, scratch=True)
    heir.start()
    try:
        assert postgres.poll() == 0
        assert heir.pid != left.pid
        assert await value(heir.owner_url, "SELECT 1") == 1
    finally:
        heir.stop(at_once)


def test_a_pid_file_that_names_another_program_harms_neither(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    account = account_for_postgres()
    bystander = subprocess.Popen(["sleep", "60"], user=account.uid if account else None)
    try:
        lines = [bystander.pid, postgres.cluster, 1, 5432, "", "127.0.0.1", " 1 1", "ready"]
        (postgres.cluster / "postmaster.pid").write_text("\n".join(map(str, lines)))
        postgres.start()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_an_interrupted_initialisation_leaves_no_process_and_counts_for_nothing(postgres: EmbeddedPostgres) -> None:
    calls = 0

    def interrupt() -> None:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        postgres.start(interrupt)
    # A process that is no child of ours ends a moment after its SIGKILL.
    until(lambda: left_behind("postgres", postgres.home) == left_behind("initdb", postgres.home) == [])
    assert postgres.is_new
    assert list(postgres.home.glob("18.init-*"))
    postgres.start()
    assert postgres.pid is not None
    assert not list(postgres.home.glob("18.init-*"))


async def test_lost_passwords_are_replaced_without_losing_data(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.start()
    before = postgres.owner_url
    await value(before, "CREATE TABLE kept (n int)")
    await value(before, "CREATE ROLE colloquy_app LOGIN PASSWORD 'forgotten'")
    postgres.stop()
    (tmp_path / "postgres" / "server.json").write_text("{ half a rec")
    postgres.start()
    assert urlsplit(postgres.owner_url).password != urlsplit(before).password
    assert await value(postgres.owner_url, "SELECT count(*) FROM kept") == 0
    assert await value(postgres.app_url, "SELECT 1") == 1


async def test_another_port_is_taken_when_a_stranger_has_the_remembered_one(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    before = urlsplit(postgres.owner_url).port
    postgres.stop()
    with socket.create_server(("127.0.0.1", before or 0)):
        postgres.start()
        assert urlsplit(postgres.owner_url).port != before
        assert await value(postgres.owner_url, "SELECT 1") == 1


def test_a_start_that_fails_says_what_the_server_said(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    with (postgres.cluster / "postgresql.conf").open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.raises(ConfigurationError, match="no_such_setting"):
        postgres.start()
    assert postgres.pid is None


def test_urls_are_refused_before_the_first_start(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(RuntimeError, match="not been started"):
        _ = postgres.owner_url


def test_a_program_that_fails_gives_its_last_words(tmp_path: Path) -> None:
    account = account_for_postgres()
    tools = ClusterTools(installation(account), account, nothing)
    folder = tmp_path / "not-a-cluster"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match="postgres failed with status"):
        tools.single_user(folder, "postgres", ["SELECT 1"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another account")
def test_as_root_data_stay_where_the_account_could_not_go_by_itself(tmp_path: Path) -> None:
    home = tmp_path / "root-only"
    home.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(home / "data", scratch=True)
    postgres.start()
    try:
        assert postgres.pid is not None
        assert psutil.Process(postgres.pid).uids().real != 0
        assert psutil.Process(postgres.pid).cwd() == str(home / "data" / "postgres" / "18")
        assert stat.S_IMODE(home.stat().st_mode) == 0o700
    finally:
        postgres.stop(at_once)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another account")
def test_a_cluster_of_another_user_is_refused_with_a_reason(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    os.chown(postgres.cluster, 1, 1)
    with pytest.raises(ConfigurationError, match="belongs to user id 1"):
        postgres.start()
