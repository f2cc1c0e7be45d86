"""The way to an OpenAI-compatible server: where it is, and how a key is shown to it."""

from __future__ import annotations

from providers.http.connection import HttpConnection, header_key
from providers.http.refusals import Names

VENDOR_URL = "https://api.openai.com/v1"


def connect(*, api_key: str | None, base_url: str, timeout: float, names: Names) -> HttpConnection:
    """Without a key only to a server of one's own. Raises `ConfigurationError`."""
    headers = {} if api_key is None else {"Authorization": f"Bearer {header_key(api_key, names.key)}"}
    return HttpConnection(base_url=base_url, headers=headers, names=names, timeout=timeout)
