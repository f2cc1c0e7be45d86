"""Attacks by who one says to be: tokens that nobody gave out, that are over, or that belong to others."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import jwt
from target import START, Attack, Target, of_socket

from core.security import TokenSigner

Make = Callable[[Target], str]
Send = Callable[[Target], Awaitable[str]]


def _claims(target: Target, **changes: Any) -> dict[str, Any]:
    """What the victim's own token says, with changes."""
    claims: dict[str, Any] = jwt.decode(target.victim.token, options={"verify_signature": False})
    return claims | changes


def _other_key(target: Target) -> str:
    return jwt.encode(_claims(target), "another key, of at least 32 characters", algorithm="HS256")


def _no_algorithm(target: Target) -> str:
    return jwt.encode(_claims(target), None, algorithm="none")


def _algorithm_in_capitals(target: Target) -> str:
    return f"{_part({'alg': 'NoNe', 'typ': 'JWT'})}.{_part(_claims(target))}."


def _no_signature(target: Target) -> str:
    return target.victim.token.rpartition(".")[0] + "."


def _another_algorithm(target: Target) -> str:
    return jwt.encode(_claims(target), "k" * 64, algorithm="HS512")


def _public_key_as_secret(target: Target) -> str:
    """A token that says RS256, signed as HS256 would be: with a key that everybody has."""
    head, body = _part({"alg": "RS256", "typ": "JWT"}), _part(_claims(target))
    return f"{head}.{body}.{base64.urlsafe_b64encode(b's' * 256).decode().rstrip('=')}"


def _own_key(**header: Any) -> Make:
    """A token that names the key to check it with."""
    return lambda target: jwt.encode(_claims(target), "k" * 32, algorithm="HS256", headers=header)


def _changed(**changes: Any) -> Make:
    """The victim's token with other claims, under its old signature."""

    def make(target: Target) -> str:
        head, _, signature = target.victim.token.split(".")
        return f"{head}.{_part(_claims(target, **changes))}.{signature}"

    return make


def _expired(target: Target) -> str:
    secret = target.settings.secret_key
    assert secret is not None
    signer = TokenSigner(secret.get_secret_value(), access_ttl=-1)
    return signer.issue_access(*_ids(target, target.victim.token))[0]


def _session_of_another_tenant(target: Target) -> str:
    """Genuinely signed: the victim, in a session that the attacker has opened."""
    user, tenant, _ = _ids(target, target.victim.token)
    _, _, session = _ids(target, target.attacker.token)
    return target.signer.issue_access(user, tenant, session)[0]


def _person_of_another_tenant(target: Target) -> str:
    """Genuinely signed: the attacker's person and session, in the victim's organisation."""
    user, _, session = _ids(target, target.attacker.token)
    _, tenant, _ = _ids(target, target.victim.token)
    return target.signer.issue_access(user, tenant, session)[0]


def _ids(target: Target, token: str) -> Any:
    claims = target.signer.check_access(token)
    return claims.user_id, claims.tenant_id, claims.session_id


def _part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def _by_http(make: Make) -> Send:
    return lambda target: target.graphql({"query": START}, make(target))


def _by_socket(make: Make) -> Send:
    async def send(target: Target) -> str:
        async with target.socket(sign_in=False) as socket:
            payload = {"authorization": f"Bearer {make(target)}"}
            await socket.send_json({"type": "connection_init", "payload": payload})
            return await of_socket(socket)

    return send


def _by_renewal(make: Make) -> Send:
    """On the attacker's own socket, by the ping that renews a token."""

    async def send(target: Target) -> str:
        async with target.socket(target.attacker.token) as socket:
            await socket.send_json({"type": "ping", "payload": {"authorization": f"Bearer {make(target)}"}})
            return await of_socket(socket)

    return send


_LATER = int((datetime.now(UTC) + timedelta(days=9_999)).timestamp())
TOKENS: Final[dict[str, Make]] = {
    "a token of another key": _other_key,
    "algorithm none": _no_algorithm,
    "algorithm NoNe": _algorithm_in_capitals,
    "no signature": _no_signature,
    "algorithm HS512": _another_algorithm,
    "algorithm RS256": _public_key_as_secret,
    "a token with a kid": _own_key(kid="../../dev/null"),
    "a token with a jku": _own_key(jku="https://evil.example/keys.json"),
    "a token with a jwk": _own_key(jwk={"kty": "oct", "k": "a2trag"}),
    "another tenant in the token": _changed(tenant="0" * 32),
    "a later end in the token": _changed(exp=_LATER),
    "an expired token": _expired,
    "a session fixed by another tenant": _session_of_another_tenant,
    "a person of another tenant": _person_of_another_tenant,
    "a token of 30,000 characters": lambda _: "a." * 15_000,
    "an API key that nobody has": lambda _: "clq_sk_" + "A" * 100,
}

ON_SOCKETS: Final = (
    "a token of another key",
    "algorithm none",
    "an expired token",
    "a session fixed by another tenant",
)
"""Sockets sign in by the same check."""

ROWS: Final = [
    *(Attack(name, "200 UNAUTHENTICATED", _by_http(make)) for name, make in TOKENS.items()),
    *(Attack(f"{name}, on a socket", "close 4403", _by_socket(TOKENS[name])) for name in ON_SOCKETS),
    *(Attack(f"{name}, as a renewal", "pong refused", _by_renewal(TOKENS[name])) for name in ON_SOCKETS),
    Attack("another's token, as a renewal", "pong refused", _by_renewal(lambda target: target.victim.token)),
]
