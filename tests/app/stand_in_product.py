"""The supervisor with small programs in place of the product's: `python stand_in_product.py run`, as a person runs it.

STAND_IN_<NAME> says how a program misbehaves: `fail` (says why, status 3), `deaf` (ignores SIGTERM), `hang` (never
ends).
"""

from __future__ import annotations

import http.server
import json
import os
import signal
import sys
import threading
from pathlib import Path

from app.running.programs import Program, Programs
from app.supervisor import run
from core.settings import Settings


def _program(name: str, *, as_owner: bool = False) -> Program:
    return Program((sys.executable, __file__, name), as_owner=as_owner)


def _run() -> int:
    services = {"api": _program("api"), "worker": _program("worker")}
    programs = Programs(_program("migrate", as_owner=True), _program("seed", as_owner=True), services)
    return run(Settings(), programs)


def _note_environment(name: str) -> None:
    urls = ("DATABASE_URL", "DATABASE_PLATFORM_URL", "DATABASE_OWNER_URL", "REDIS_URL")
    names = (*urls, "SECRET_KEY", "ENCRYPTION_KEYS", "PORT")
    record = {key: os.environ.get(key) for key in names} | {"pid": os.getpid()}
    path = Path(os.environ["DATA_DIR"], f"{name}-environment.json")
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(record))
    draft.replace(path)


class _Api(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
        if self.path == "/log-error":
            sys.stderr.write("2026-01-01T00:00:00Z [error    ] the model is out of tune\n")

    def log_message(self, format: str, *arguments: object) -> None:
        return


def _child(name: str) -> int:
    _note_environment(name)
    mode = os.environ.get(f"STAND_IN_{name.upper()}", "")
    if mode == "fail":
        sys.stderr.write(f"{name} cannot find its hat\n")
        return 3
    ending = threading.Event()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else lambda *_: ending.set())
    if mode == "hang":
        ending.wait()
    if name == "migrate":
        sys.stdout.write(json.dumps({"stage": "0001_first", "done": 1, "total": 2}) + "\n")
    elif name == "seed":
        logins = [{"role": "BUSINESS", "email": "business@demo.colloquy.example", "password": "a-password"}]
        Path(os.environ["DATA_DIR"], "demo.json").write_text(json.dumps({"logins": logins}))
    elif name == "api":
        server = http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), _Api)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        ending.wait()
    else:
        ending.wait()
    return 0


if __name__ == "__main__":
    sys.exit(_run() if sys.argv[1] == "run" else _child(sys.argv[1]))
