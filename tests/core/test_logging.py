"""Logs as an operator sees them: what a process writes to standard error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parents[2] / "src"
SCRIPT = """
import logging, structlog
from core.logging import configure_logging
configure_logging(production={production})
log = structlog.get_logger("our.module")
log.info("it happened", document="abc", text="two\\nlines")
logging.getLogger("some.library").warning("a %s", "warning")
logging.getLogger("some.library").debug("too much")
for quiet in ("uvicorn.access", "uvicorn.error", "arq.worker"):
    logging.getLogger(quiet).info("chatter")
logging.getLogger("uvicorn.error").error("a fault")
try:
    raise ValueError("broken")
except ValueError:
    log.exception("it failed")
"""


def written(*, production: bool, times: int = 1) -> str:
    """What a process with these logs writes to standard error; nothing goes to standard output."""
    setup = "configure_logging(production={production})"
    script = SCRIPT.replace(setup, "\n".join([setup] * times)).format(production=production)
    environment = {**os.environ, "PYTHONPATH": str(SOURCES)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, env=environment)
    assert done.stdout == ""
    return done.stderr


def entries(text: str) -> list[dict[str, Any]]:
    """One JSON object to each line."""
    return [json.loads(line) for line in text.splitlines()]


def test_in_production_each_event_is_one_line_of_json() -> None:
    lines = entries(written(production=True))
    assert [line["event"] for line in lines] == ["it happened", "a warning", "a fault", "it failed"]
    first, second, _, last = lines
    assert (first["level"], first["logger"], first["document"]) == ("info", "our.module", "abc")
    assert first["text"] == "two\nlines"
    assert first["timestamp"].endswith("Z")
    assert (second["level"], second["logger"]) == ("warning", "some.library")
    assert "ValueError: broken" in last["exception"]


def test_in_development_events_are_written_for_people() -> None:
    text = written(production=False)
    assert "it happened" in text
    assert "document=abc" in text
    assert "a warning" in text
    assert "ValueError: broken" in text
    assert "\x1b[" not in text, "colours are for terminals"


def test_what_libraries_chatter_is_left_out() -> None:
    text = written(production=True)
    assert "chatter" not in text
    assert "too much" not in text


def test_configuring_twice_writes_each_event_once() -> None:
    assert written(production=True, times=3).count("it happened") == 1
