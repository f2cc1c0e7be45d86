"""How tests run a program of this folder in Node."""

from __future__ import annotations

from typing import Protocol


class RunNode(Protocol):
    """Runs a program with these arguments and gives its output; fails with all that it said when it fails."""

    async def __call__(self, program: str, *arguments: str) -> str: ...
