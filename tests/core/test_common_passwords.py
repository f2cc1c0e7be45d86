"""The shipped list of common passwords holds: none of them that is long enough to be one is accepted."""

from __future__ import annotations

from zxcvbn.frequency_lists import FREQUENCY_LISTS

from core.password_strength import is_easily_guessed
from resolvers.passwords import PASSWORD_CHARS


def test_no_password_of_the_shipped_list_is_accepted() -> None:
    """All 30,000, though 10,000 would do: it takes 3 s."""
    shipped = list(FREQUENCY_LISTS["passwords"])
    assert len(shipped) == 30_000
    long_enough = [password for password in shipped if len(password) >= PASSWORD_CHARS[0]]
    assert len(long_enough) == 1_090
    assert [password for password in long_enough if not is_easily_guessed(password)] == []
