"""Each attack is refused, at once and cheaply, changes nothing, and is noticed by nobody who watches an answer.

The aim is 50 ms of CPU for a refusal, and no wait of more than 100 ms beside it. Both are printed at the end of the
run for every attack; asserted is what a machine can promise on which other tests run meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

import by_document
import by_identity
import by_request
import by_socket
import pytest
from measuring import Door, measure
from target import Attack

ROWS = [*by_document.ROWS, *by_request.ROWS, *by_socket.ROWS, *by_identity.ROWS]
HONEST_SECONDS = 0.01
"""An honest page costs less on a quiet machine; where it costs more, more is allowed to an attack, in proportion."""
MOST_ALLOWED = 3.0
"""So many times as much at the most: on a slower machine than that these tests say nothing, and fail."""
STORED = """SELECT t.name, u.role, u.password_hash, (SELECT count(*) FROM conversations c WHERE c.tenant_id = t.id),
    (SELECT count(*) FROM sessions s WHERE s.tenant_id = t.id AND s.revoked_at IS NULL),
    (SELECT count(*) FROM documents d WHERE d.tenant_id = t.id), (SELECT count(*) FROM tenants)
  FROM tenants t JOIN users u ON u.tenant_id = t.id WHERE u.email = ANY ($1) ORDER BY t.id"""

pytestmark = pytest.mark.timeout(60)


async def test_an_honest_page_is_answered(door: Door, report_attack: Callable[..., None]) -> None:
    quiet = door.quiet
    report_attack(
        "(an honest page)", " / ".join(quiet.honest.outcomes), quiet.honest.cpu * 1000, quiet.honest.gap * 1000
    )
    report_attack("(nothing, for a second)", "", quiet.cpu_share * 1000, quiet.gap * 1000)
    assert set(quiet.honest.outcomes) == {"200 answered"}


@pytest.mark.parametrize("attack", ROWS, ids=lambda attack: attack.name)
async def test_an_attack_is_refused(door: Door, attack: Attack, report_attack: Callable[..., None]) -> None:
    emails = [door.target.victim.email, door.target.attacker.email]
    before = await door.owner.fetch(STORED, emails)
    door.api.said()
    slower = min(MOST_ALLOWED, max(1.0, door.quiet.honest.cpu / HONEST_SECONDS))
    limits = (attack.cpu * slower, attack.gap * slower)
    measured = await measure(attack, door, *limits)
    report_attack(attack.name, " / ".join(measured.outcomes), measured.cpu * 1000, measured.gap * 1000)
    assert set(measured.outcomes) == {attack.refused}
    assert measured.within(*limits), (measured, door.quiet)
    assert await door.owner.fetch(STORED, emails) == before
    assert "Traceback" not in door.api.said()
