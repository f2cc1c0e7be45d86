"""Where a page comes from, as browsers write it in `Origin`: in small letters, without a path (RFC 6454, 6.2)."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

_ORIGIN = re.compile(r"(https?)://([a-z0-9._-]+|\[[0-9a-f:]+\])(?::([1-9][0-9]{0,4}))?")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(?:[/?](?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*)?")
"""Path and query (RFC 3986, 3.3 and 3.4)."""
_PORTS = 2**16
_HOST_CHARS = 253
_DEFAULTS = {"http": "80", "https": "443"}


def is_origin(text: str) -> bool:
    """Whether it is one of http or https, to the letter as a browser would send it: without the scheme's own port."""
    found = _ORIGIN.fullmatch(text)
    if found is None:
        return False
    scheme, host, port = found.groups()
    return port != _DEFAULTS[scheme] and int(port or 0) < _PORTS and _is_host(host)


def is_page(text: str) -> bool:
    """Whether it is the address of a page of http or https, without a name to sign in with and without a fragment."""
    scheme, _, rest = text.partition("://")
    authority = re.match(r"[^/?]*", rest)
    assert authority is not None, "it may be empty"
    origin = f"{scheme}://{authority[0]}".lower().removesuffix(f":{_DEFAULTS.get(scheme.lower())}")
    return is_origin(origin) and _PATH.fullmatch(rest[authority.end() :]) is not None


def _is_host(host: str) -> bool:
    """Whether it is a name or an address as browsers write it."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1]).compressed == host[1:-1]
        except AddressValueError:
            return False
    # A name may end with the dot of the root.
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # A browser takes whatever ends with a number for an address.
        try:
            return str(IPv4Address(host)) == host
        except AddressValueError:
            return False
    return len(host) <= _HOST_CHARS and all(_LABEL.fullmatch(label) for label in labels)
