"""Whether the API says that it is ready."""

from __future__ import annotations

import http.client


def connect_host(host: str) -> str:
    """The address by which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - compared, not bound


def base_url(host: str, port: int) -> str:
    """`http://host:port` for a person on this machine, with the brackets that IPv6 needs."""
    name = connect_host(host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def ask_ready(host: str, port: int, path: str = "/readyz", timeout: float = 2.0) -> str | None:
    """None when it answers 200; otherwise why not, in one line of at most 500 characters."""
    connection = http.client.HTTPConnection(connect_host(host), port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(2000).decode("utf-8", "replace")
    except TimeoutError:
        return f"no answer within {timeout:.0f} s"
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if answer.status == 200 else f"HTTP {answer.status}: {' '.join(body.split())}"[:500]
