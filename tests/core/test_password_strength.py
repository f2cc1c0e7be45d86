"""Common passwords and what people make of them are found out; others are not."""

from __future__ import annotations

import pytest

from core.password_strength import is_easily_guessed
from product import PASSWORD

ABOUT = ("pat.miller@northwind.example", "Pat Miller", "Northwind Traders Ltd")


@pytest.mark.parametrize(
    "password",
    [
        *("password123", "1234567890", "qwertyuiop", "iloveyou123", "Password123!", "P@ssw0rd1234", "passwordpassword"),
        *("letmein2024", "welcome12345", "football1234", "1q2w3e4r5t", "9876543210", "abcdefghij", "aaaaaaaaaaaa"),
        *("PASSWORD123", "QwErTyUiOp", "summer2026!", "drowssap123", "liverpool123", "zaq12wsxcde3"),
        # Full-width forms are the same letters.
        "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44\uff11\uff12\uff13",
        "a" * 128,
        "qwertyuiop" * 12,
    ],
)
def test_a_common_password_and_its_variations_are_easily_guessed(password: str) -> None:
    assert len(password) >= 10
    assert is_easily_guessed(password)


@pytest.mark.parametrize(
    "password",
    [
        *("pat.miller@northwind.example", "PAT.MILLER", "pat.miller1", "Pat Miller 1", "patmiller2026", "MillerPat!"),
        *("northwind1", "Northwind2026!", "northwindtraders", "N0rthw1nd123", "colloquy12", "Colloquy2026"),
    ],
)
def test_what_everybody_knows_of_the_person_is_easily_guessed(password: str) -> None:
    assert is_easily_guessed(password, ABOUT)


@pytest.mark.parametrize(
    "password",
    [
        *(PASSWORD, "another good password", "correct horse battery staple", "kV9$wqpLz2x", "thistle-ravine-omelet"),
        *("пароль из трёх слов", "fjord unmapped quilt", "x9" + "password" * 9 + "Lq7!vRz2#tWm9$"),
    ],
)
def test_a_password_that_is_not_common_is_accepted(password: str) -> None:
    assert not is_easily_guessed(password, ABOUT)


def test_short_words_of_a_name_do_not_spoil_every_password() -> None:
    assert not is_easily_guessed("thistle-ravine-omelet", ("x@y.example", "A B", "", "an of to"))
