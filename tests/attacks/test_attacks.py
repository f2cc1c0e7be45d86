"""Each attack is refused, at once and cheaply, and nobody who watches an answer notices."""

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


@pytest.mark.timeout(60)
@pytest.mark.xdist_group("attacks")
@pytest.mark.parametrize("attack", ROWS, ids=lambda attack: attack.name)
async def test_an_attack_is_refused(door: Door, attack: Attack, report_attack: Callable[..., None]) -> None:
    measured = await measure(attack, door)
    report_attack(attack.name, " / ".join(measured.outcomes), measured.cpu * 1000, measured.gap * 1000)
    assert set(measured.outcomes) == {attack.refused}
