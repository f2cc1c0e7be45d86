"""Whether a session still counts: asked before every operation, and for as long as a socket is open."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence
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
        self._refused = _Remembered(REFUSED_SECONDS)
        """Sessions and keys that did not count when they were last asked about."""
        self._seen = _Remembered(SEEN_SECONDS)
        """The same of those that did."""
        self._changes = 0

    async def person(self, reads: Reads, claims: AccessClaims) -> UserRecord:
        """Whose session it is. Raises `RequestError` UNAUTHENTICATED with the reason when it does not count."""
        changes = self._changes
        copy = await self._cache.get(claims.tenant_id, claims.session_id)
        if copy is None or claims.user_id not in (None, copy.id):
            copy = await self.person_now(reads, claims)
        if changes == self._changes:  # else it may have been read just before its change
            self._seen.add(claims.tenant_id, claims.session_id)
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
            remembered.drop(claims.session_id)
        try:
            person = _good(found)
        except RequestError:
            self._refused.add(claims.tenant_id, claims.session_id)
            raise
        await self._cache.put(claims.session_id, person, read_at)
        return person

    def is_refused(self, claims: AccessClaims) -> bool:
        """Whether it did not count when it was last asked about, which was not long ago."""
        return claims.session_id in self._refused

    def is_seen(self, claims: AccessClaims) -> bool:
        """Whether it counted when it was last asked about, which was a moment ago."""
        return claims.session_id in self._seen

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
        self._forget(*session_ids)
        if session_ids and not await self._cache.forget(tenant_id, session_ids):
            self._live.lost(redis_keys.identity_live(tenant_id))

    async def tenant_changed(self, tenant_id: TenantId) -> None:
        """The tenant has been suspended or resumed: call after the commit."""
        self._forget_tenant(tenant_id)
        if not await self._cache.forget_tenant(tenant_id):
            self._live.lost(redis_keys.identity_live(tenant_id))

    @asynccontextmanager
    async def watch(self, tenant_id: TenantId) -> AsyncGenerator[Watch, None]:
        """Hear of changes to a tenant's sessions."""

        def heard(messages: Sequence[bytes] | None) -> None:
            """Forget what is known of what another process has changed, all of the tenant's where that was missed."""
            words = {EVERYBODY} if messages is None else {word for message in messages for word in message.split()}
            if EVERYBODY in words:
                self._forget_tenant(tenant_id)
            else:
                self._forget(*(UUID(hex=word.decode()) for word in words))

        async with self._live.follow(redis_keys.identity_live(tenant_id)) as feed:
            yield Watch(feed, self._live, heard)

    def _forget(self, *session_ids: UUID) -> None:
        self._changes += 1
        for remembered in (self._refused, self._seen):
            remembered.drop(*session_ids)

    def _forget_tenant(self, tenant_id: TenantId) -> None:
        self._changes += 1
        for remembered in (self._refused, self._seen):
            remembered.drop_tenant(tenant_id)


class _Remembered:
    """Sessions and keys, each for so many seconds; the oldest go first when there are too many."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[UUID, tuple[float, TenantId]] = {}
        """By the monotonic clock, the oldest first."""

    def add(self, tenant_id: TenantId, session_id: UUID) -> None:
        self.drop(session_id)
        self._until[session_id] = time.monotonic() + self._seconds, tenant_id

    def drop(self, *session_ids: UUID) -> None:
        for session_id in session_ids:
            self._until.pop(session_id, None)

    def drop_tenant(self, tenant_id: TenantId) -> None:
        self.drop(*(session_id for session_id, (_, whose) in self._until.items() if whose == tenant_id))

    def __contains__(self, session_id: UUID) -> bool:
        now, until = time.monotonic(), self._until
        while until and (len(until) > MOST_REMEMBERED or next(iter(until.values()))[0] < now):
            del until[next(iter(until))]
        return session_id in until


def _good(found: Standing) -> UserRecord:
    if found.refusal is not None or found.person is None:
        raise RequestError.unauthenticated(_WORDS[found.refusal or Refusal.GONE])
    return found.person


class Watch:
    """One socket's ear."""

    def __init__(self, feed: LiveFeed, live: LiveChannels, heard: Callable[[Sequence[bytes] | None], None]) -> None:
        self._feed, self._live, self._heard = feed, live, heard

    async def news(self, session_id: UUID, within: float) -> bool:
        """Return when the session may have changed, after `within` seconds at the latest.

        Whether it was told so, or could not have been told: then a copy is not to be believed.
        """
        names = {session_id.hex.encode(), EVERYBODY}
        seeing = self._live.connected
        deadline = time.monotonic() + min(within, LOOK_SECONDS if seeing else BLIND_SECONDS)
        while (left := deadline - time.monotonic()) > 0:
            messages = await self._feed.take(left)
            if messages is None or messages:
                self._heard(messages)
            if messages is None or any(names.intersection(message.split()) for message in messages):
                return True
        return not seeing
