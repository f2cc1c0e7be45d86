"""What can go wrong for the terminal client. Every message is one that a person can act on."""

from __future__ import annotations


class UsageProblem(Exception):
    """The command was called wrongly: exit code 2."""


class ClientFailure(Exception):
    """The command cannot go on: exit code 1. The message says what happened and what to do."""


class Transient(ClientFailure):
    """The network or the server's process, not the request: the same call may succeed a moment later."""


class SignedOut(ClientFailure):
    """The server no longer takes our access token (it lives 15 minutes): sign in again."""


class Refused(ClientFailure):
    """The server understood and declined. `code` is the contract's ErrorCode or a top-level `extensions.code`."""

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{message.rstrip('.')} ({code}).{' ' + hint if hint else ''}")
        self.code = code
        self.message = message


class Limited(Refused):
    """It came too often: the same is admitted after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__("RATE_LIMITED", message, hint=f"Ask again in {max(1, round(retry_after))} s.")
        self.retry_after = retry_after
