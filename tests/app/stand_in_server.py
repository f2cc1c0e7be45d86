"""A small application in place of the product's, in several processes: `python stand_in_server.py FOLDER`.

What its processes find in the folder tells them how to start: `fail` (they cannot), `wait` (not until it is gone),
`import` (they import things for longer than a ping may go without an answer).
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import uvicorn
from starlette.types import Receive, Scope, Send

from app.ending import GRACE_SECONDS
from app.serving_processes import ServingProcesses
from core.logging import configure_logging

LIMIT_SECONDS = 5
"""So long may a ping go without an answer, also while a process starts, and a replacement take to be ready."""


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Nothing but a start and an end."""
    assert scope["type"] == "lifespan"
    folder = Path(os.environ["STAND_IN_FOLDER"])
    await receive()
    while (folder / "wait").exists():  # noqa: ASYNC110 - a file of the test's: there is nothing to wait on
        await asyncio.sleep(0.02)
    if (folder / "fail").exists():
        await send({"type": "lifespan.startup.failed", "message": "no hat"})
        return
    await send({"type": "lifespan.startup.complete"})
    (folder / f"started-{os.getpid()}").touch()
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def main(folder: str) -> int:
    os.environ["STAND_IN_FOLDER"] = folder
    configure_logging(production=True)
    config = uvicorn.Config(
        "stand_in_server:application",
        workers=2,
        log_config=None,
        timeout_worker_healthcheck=LIMIT_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return ServingProcesses(config, [listening]).run()


if __name__ == "__mp_main__" and (Path(sys.argv[1]) / "import").exists():
    while time.process_time() < 1.5 * LIMIT_SECONDS:
        pass

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
