"""Where `colloquy ask` finds the server and who asks: options, then the environment, then the demo log-in."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from app.terminal.client import graphql_url
from app.terminal.failures import UsageProblem
from app.terminal.wire import is_local
from core.settings import Settings, settings_from_environment


@dataclass(frozen=True, slots=True)
class LogIn:
    """`source` says in words where it came from, for the message when the server refuses it."""

    email: str
    password: str
    source: str


def resolve_url(url: str | None) -> str:
    """The GraphQL endpoint: the option, COLLOQUY_URL, or the HOST and PORT that `make run` uses here.

    Raises UsageProblem.
    """
    wanted = url or os.environ.get("COLLOQUY_URL")
    if not wanted:
        settings = _settings()
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104 - compared only
        wanted = f"http://{host}:{settings.port}"
    try:
        return graphql_url(wanted)
    except ValueError as error:
        raise UsageProblem(
            f"--url: {wanted!r} is not an http:// or https:// address. Expected e.g. http://127.0.0.1:8000."
        ) from error


def resolve_log_in(url: str, email: str | None, password: str | None) -> LogIn:
    """Who asks: the options, COLLOQUY_EMAIL and COLLOQUY_PASSWORD, or the demo tenant's BUSINESS log-in that `make run`
    left in DATA_DIR/demo.json, which is offered to a server on this machine only. Raises UsageProblem."""
    chosen_email = email or os.environ.get("COLLOQUY_EMAIL")
    chosen_password = password or os.environ.get("COLLOQUY_PASSWORD")
    if chosen_email and chosen_password:
        return LogIn(chosen_email, chosen_password, "your e-mail and password")
    if chosen_email or chosen_password:
        missing = "--password (or COLLOQUY_PASSWORD)" if chosen_email else "--email (or COLLOQUY_EMAIL)"
        raise UsageProblem(f"{missing} is missing: e-mail and password go together.")
    if not is_local(url):
        raise UsageProblem(
            f"No log-in for {url}. Give --email and --password, or set COLLOQUY_EMAIL and COLLOQUY_PASSWORD."
        )
    return _demo_log_in(_settings().data_dir / "demo.json")


def _settings() -> Settings:
    try:
        return settings_from_environment()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]).upper()
        raise UsageProblem(f"The environment variable {name} is wrong: {first['msg']}.") from error


def _demo_log_in(path: Path) -> LogIn:
    advice = "Start the product with make run, or give --email and --password."
    try:
        log_ins = json.loads(path.read_text(encoding="utf-8"))["logins"]
        by_role = {
            str(one["role"]): LogIn(one["email"], one["password"], f"the demo log-in in {path}") for one in log_ins
        }
        # BUSINESS may upload as well as ask.
        return by_role.get("BUSINESS") or next(iter(by_role.values()))
    except FileNotFoundError as error:
        raise UsageProblem(f"No log-in given, and no demo log-in at {path}. {advice}") from error
    except OSError as error:
        raise UsageProblem(f"The demo log-in at {path} cannot be read: {error.strerror}. {advice}") from error
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UsageProblem(f"The demo log-in at {path} is damaged. {advice}") from error
