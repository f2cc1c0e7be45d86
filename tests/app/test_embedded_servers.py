"""The test run's own servers: one of each for all workers, and none afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.long
_TESTS = Path(__file__).parents[1]
_CONFIGURATION = f"""\
[pytest]
pythonpath = {_TESTS} {_TESTS.parent / "src"}
addopts = -p no:cacheprovider
asyncio_default_fixture_loop_scope = function
"""
_SUITE = """\
import asyncio, os
import asyncpg, pytest
from embedded_servers import Servers


async def make(servers, name):
    connection = await asyncpg.connect(servers.owner_url)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    connection = await asyncpg.connect(servers.database(name)[0])
    assert await connection.fetchval("SELECT '[1,2]'::halfvec(2)::text") == "[1,2]"
    await connection.close()

@pytest.mark.parametrize("number", range(4))
def test_it(servers: Servers, number, tmp_path_factory):
    asyncio.run(make(servers, f"made_{number}"))
    with open("seen.txt", "a") as file:
        print(servers.run_id, servers.owner_url, servers.redis(), file=file)
"""


@pytest.mark.parametrize("options", [["-n", "2"], []], ids=["xdist", "one process"])
def test_a_run_has_one_of_each_and_leaves_nothing(tmp_path: Path, options: list[str]) -> None:
    (tmp_path / "pytest.ini").write_text(_CONFIGURATION)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["embedded_servers"]\n')
    (tmp_path / "test_suite.py").write_text(_SUITE)
    folder = tmp_path / "temporary"
    folder.mkdir(mode=0o700)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COLLOQUY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *options],
        cwd=tmp_path,
        env=environment | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = (tmp_path / "seen.txt").read_text().splitlines()
    assert len(seen) == 4
    assert len({line.rpartition("/")[0] for line in seen}) == 1
    assert not list(folder.glob("colloquy-tests-*"))
    assert not [one for one in psutil.process_iter() if _works_in(one, folder)]


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return folder in Path(process.cwd()).parents
    except (psutil.Error, OSError):
        return False
