"""Whether a session still counts: asked before every operation, and for as long as a socket is open."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from core.errors import RequestError
from core.ids import TenantId
from core.security import AccessClaims
from datastores import redis_keys
from datastores.api_keys import hold_maker, key_standing, note_use
from datastores.live import LiveChannels, LiveFeed
from datastores.postgres import Postgres
from datastores.records import UserRecord
from datastores.session_cache import EVERYBODY, SessionCache
from datastores.sessions import Refusal, Standing, hold_person, standing
from datastores.transactions import Reads, WriteTransaction

LOOK_SECONDS = 30.0
"""Between two looks of an open socket that is told of changes."""
BLIND_SECONDS = 1.0
"""The same while Redis is away, so that nobody is told: a change reaches open sockets within two seconds then, too."""
REFUSED_SECONDS = 60.0
SEEN_SECONDS = 2.0
MOST_REMEMBERED = 10_000
_WORDS = {
    Refusal.GONE: "This account no longer exists.",
    Refusal.SUSPENDED: "This account is suspended.",
    Refusal.TENANT_SUSPENDED: "This organisation is suspended.",
    Refusal.SIGNED_OUT: "This session has ended. Sign in again.",
    Refusal.KEY_REVOKED: "This API key has been revoked.",
}


class Standings:
    """The process's way to ask for, and to hear of changes to, what sessions are good for."""

    def __init__(self, postgres: Postgres, cache: SessionCache, live: LiveChannels) -> None:
        self._postgres, self._cache, self._live = postgres, cache, live
        self._refused: dict[UUID, float] = {}
        """Sessions and keys that did not count, and until when that is remembered, by the monotonic clock."""
        self._seen: dict[UUID, float] = {}
        """The same of those that did."""

    async def person(self, reads: Reads, claims: AccessClaims) -> UserRecord:
        """Whose session it is. Raises `RequestError` UNAUTHENTICATED with the reason when it does not count."""
        copy = await self._cache.get(claims.tenant_id, claims.session_id)
        if copy is None or claims.user_id not in (None, copy.id):
            copy = await self.person_now(reads, claims)
        self._seen.pop(claims.session_id, None)
        self._seen[claims.session_id] = time.monotonic() + SEEN_SECONDS
        return copy

    async def person_now(self, reads: Reads, claims: AccessClaims) -> UserRecord:
        """As `person`, by PostgreSQL's word alone: for whoever was told of a change, which a copy may not know."""
        read_at = time.time()
        if claims.user_id is None:
            # Before anything is read: the operation must not hold one connection while it waits for another.
            async with self._postgres.write(claims.tenant_id) as tx:
                await note_use(tx, claims.session_id)
            found = await key_standing(reads, claims.session_id, claims.key_hash or b"")
        else:
            found = await standing(reads, claims.user_id, claims.session_id)
        for remembered in (self._refused, self._seen):
            remembered.pop(claims.session_id, None)  # the newest last
        try:
            person = _good(found)
        except RequestError:
            self._refused[claims.session_id] = time.monotonic() + REFUSED_SECONDS
            raise
        await self._cache.put(claims.session_id, person, read_at)
        return person

    def is_refused(self, claims: AccessClaims) -> bool:
        """Whether it did not count when it was last asked about, which was not long ago."""
        return _is_in(self._refused, claims.session_id)

    def is_seen(self, claims: AccessClaims) -> bool:
        """Whether it counted when it was last asked about, which was a moment ago."""
        return _is_in(self._seen, claims.session_id)

    async def person_in(self, reads: Reads, claims: AccessClaims) -> UserRecord:
        """As `person_now`, as an open transaction sees it, and nothing is noted."""
        if claims.user_id is None:
            return _good(await key_standing(reads, claims.session_id, claims.key_hash or b""))
        return _good(await standing(reads, claims.user_id, claims.session_id))

    async def hold(self, tx: WriteTransaction, claims: AccessClaims) -> None:
        """Let nobody suspend, demote or remove the person before the transaction ends."""
        if claims.user_id is None:
            await hold_maker(tx, claims.session_id)
        else:
            await hold_person(tx, claims.user_id)

    async def changed(self, tenant_id: TenantId, session_ids: Sequence[UUID]) -> None:
        """What these sessions are good for has been changed: call after the commit."""
        if session_ids and not await self._cache.forget(tenant_id, session_ids):
            self._live.lost(redis_keys.identity_live(tenant_id))

    async def tenant_changed(self, tenant_id: TenantId) -> None:
        """The tenant has been suspended or resumed: call after the commit."""
        if not await self._cache.forget_tenant(tenant_id):
            self._live.lost(redis_keys.identity_live(tenant_id))

    @asynccontextmanager
    async def watch(self, tenant_id: TenantId) -> AsyncGenerator[Watch, None]:
        """Hear of changes to a tenant's sessions."""
        async with self._live.follow(redis_keys.identity_live(tenant_id)) as feed:
            yield Watch(feed, self._live)


def _is_in(remembered: dict[UUID, float], session_id: UUID) -> bool:
    now = time.monotonic()
    # The oldest come first, as far as they were remembered in their order.
    while remembered and (len(remembered) > MOST_REMEMBERED or next(iter(remembered.values())) < now):
        del remembered[next(iter(remembered))]
    return remembered.get(session_id, 0.0) > now


def _good(found: Standing) -> UserRecord:
    if found.refusal is not None or found.person is None:
        raise RequestError.unauthenticated(_WORDS[found.refusal or Refusal.GONE])
    return found.person


class Watch:
    """One socket's ear."""

    def __init__(self, feed: LiveFeed, live: LiveChannels) -> None:
        self._feed, self._live = feed, live

    async def news(self, session_id: UUID, within: float) -> bool:
        """Return when the session may have changed, after `within` seconds at the latest.

        Whether it was told so, or could not have been told: then a copy is not to be believed.
        """
        names = {session_id.hex.encode(), EVERYBODY}
        seeing = self._live.connected
        deadline = time.monotonic() + min(within, LOOK_SECONDS if seeing else BLIND_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            messages = await self._feed.take(left)
            if messages is None or any(names.intersection(message.split()) for message in messages):
                return True
        return not seeing
