"""Loopback ports: which are free, and who remembers them."""

from __future__ import annotations

import errno
import os
import secrets
import socket

from core.errors import ConfigurationError

LOOPBACK = "127.0.0.1"


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now. Raises `OSError` when the address itself is unusable."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a connection in TIME_WAIT from the last run must not count as "taken".
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def free_port(remembered: object = None) -> int:
    """The remembered loopback port if nothing else took it, else one that nothing listens on."""
    if isinstance(remembered, int) and 1024 <= remembered <= 65535 and is_free(LOOPBACK, remembered):
        return remembered
    # Below the range (32768 on Linux, 49152 on macOS) from which outgoing connections take theirs: such a connection
    # could otherwise hold the port just when the server is restarted.
    for _ in range(50):
        port = 20_000 + secrets.randbelow(12_000)
        if is_free(LOOPBACK, port):
            return port
    raise ConfigurationError(f"No free port was found on {LOOPBACK} between 20000 and 32000.")


def require_free(host: str, port: int) -> None:
    """Raises `ConfigurationError` naming HOST or PORT when the API could not listen there."""
    try:
        free = is_free(host, port)
    except socket.gaierror as error:
        raise ConfigurationError(f"HOST: {host!r} is not an address of this machine ({error.strerror}).") from None
    except OSError as error:
        detail = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigurationError(f"HOST and PORT: cannot listen on {host}:{port} ({detail}).") from None
    if not free:
        raise ConfigurationError(
            f"PORT: {host}:{port} is taken by another program. "
            f"Stop it, or choose another port: PORT={port + 1} make run"
        )
