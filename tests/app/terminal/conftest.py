"""The stand-in server that the terminal client's tests talk to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from terminal_stand_in import StandIn, running_stand_in

from app.terminal.ask import ask
from app.terminal.follow import Patience
from core.settings import settings_from_environment


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with running_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def stand_in(server: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The server with nothing left over from another test, in an environment with a data folder of its own."""
    for name in ("COLLOQUY_URL", "COLLOQUY_EMAIL", "COLLOQUY_PASSWORD", "HOST", "PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    settings_from_environment.cache_clear()
    server.forget()
    yield server
    settings_from_environment.cache_clear()


@pytest.fixture
def ask_it(stand_in: StandIn) -> Callable[..., int]:
    """`colloquy ask` as somebody whom the server knows, who does not wait between three tries."""

    def call(question: str = "How long?", file: Path | None = None, **more: object) -> int:
        patience = Patience(tries=3, first_wait=0.0)
        usual = {"url": stand_in.url, "email": "ada@x.example", "password": "right", "patience": patience}
        return ask(question, file, **{**usual, **more})  # type: ignore[arg-type]

    return call
