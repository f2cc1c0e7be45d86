"""A worker that is killed at a place of its code: `python dying_worker.py before|after MODULE FUNCTION NTH`.

The function is the product's own and does its work; at its nth call the process dies before it, or behind it, as by
`kill -9`: nothing is flushed, closed or given back.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from app import cli


def die(when: str, module: str, name: str, nth: int) -> None:
    """Have the process die there."""
    owner: Any = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(real)
    async def dying(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if when == "before" and calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        result = await real(*args, **kwargs)
        if when == "after" and calls == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, dying)


if __name__ == "__main__":
    when, module, name, nth = sys.argv[1:]
    die(when, module, name, int(nth))
    sys.argv[1:] = ["work"]
    cli.main()
