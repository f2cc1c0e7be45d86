"""Where a page comes from, as browsers write it in `Origin`: in small letters, without a path (RFC 6454, 6.2)."""

from __future__ import annotations

import re

_ORIGIN = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::([0-9]{1,5}))?")
_PORTS = 2**16


def is_origin(text: str) -> bool:
    """Whether it is one of http or https."""
    found = _ORIGIN.fullmatch(text)
    return found is not None and int(found[1] or 0) < _PORTS
