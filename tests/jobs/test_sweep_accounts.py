"""Links and invitations whose time is over are deleted, of all tenants; the others stay."""

from __future__ import annotations

from mailing import post_office

from core.settings import Settings
from jobs.sweep_accounts import sweep_accounts
from owner import as_owner

PEOPLE = """INSERT INTO users (tenant_id, id, email, name, role, password_hash)
  SELECT id, gen_random_uuid(), id::text || '@example.test', 'Pat', 'BUSINESS', 'none' FROM tenants"""
TOKENS = """INSERT INTO one_time_tokens (tenant_id, id, user_id, purpose, token_hash, expires_at)
  SELECT tenant_id, gen_random_uuid(), id, purpose, '', now() + away
  FROM users, (VALUES ('PASSWORD_RESET', interval '-1 second'), ('EMAIL_VERIFICATION', interval '1 hour'))
  AS each (purpose, away)"""
INVITATIONS = """INSERT INTO invitations (tenant_id, id, email, role, invited_by_id, token_hash, expires_at)
  SELECT tenant_id, gen_random_uuid(), to_whom, 'USER', id, '', now() + away
  FROM users, (VALUES ('late@example.test', interval '-1 second'), ('open@example.test', interval '1 hour'))
  AS each (to_whom, away)"""
LEFT = "SELECT (SELECT array_agg(purpose) FROM one_time_tokens), (SELECT array_agg(email) FROM invitations)"


async def test_what_has_expired_is_deleted_in_every_tenant_and_nothing_else(settings: Settings) -> None:
    async with post_office(settings) as post, post_office(settings):
        for statement in (PEOPLE, TOKENS, INVITATIONS):
            await as_owner(settings, statement)
        assert await sweep_accounts({"services": post.services}) == 4
        assert await sweep_accounts({"services": post.services}) == 0
        assert await as_owner(settings, LEFT) == [(["EMAIL_VERIFICATION"] * 2, ["open@example.test"] * 2)]
