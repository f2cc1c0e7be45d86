"""Node and the client libraries of other people, for programs that run against the product."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from node_programs import HERE, RunNode, started


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a fresh clone waits for `npm ci`, where `make test` has not done that already."""
    for item in items:
        if HERE in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(180))


@pytest.fixture(scope="session")
def node() -> Path:
    """A Node whose programs in this folder find their packages. Fails, never skips, where there is none."""
    done = subprocess.run([sys.executable, HERE / "install"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.fail(done.stderr, pytrace=False)
    return Path(done.stdout.strip())


@pytest.fixture
def run_node(node: Path) -> RunNode:
    """Run a program of this folder with these arguments: its output. Fails with all it said when it fails."""

    async def run(program: str, *arguments: str, folder: Path = HERE) -> str:
        async with started(node, program, *arguments, folder=folder) as running:
            return await running.rest()

    return run
