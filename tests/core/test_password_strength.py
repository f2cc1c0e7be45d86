"""Common passwords and what people make of them are found out; others are not."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

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
        "P@ssw0rd1234567",
        "p4$$w0rd!" * 8,
    ],
)
def test_a_common_password_and_its_variations_are_easily_guessed(password: str) -> None:
    assert len(password) >= 10
    assert is_easily_guessed(password)


@pytest.mark.parametrize(
    "password",
    [
        "password password",
        "password_password",
        "admin-admin",
        "hello-world",
        "qwerty-12345",
        "pat miller!",
        "Pat-Pat-Pat",
    ],
)
def test_signs_between_what_is_common_do_not_make_it_good(password: str) -> None:
    assert is_easily_guessed(password, ABOUT)


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
        *(
            PASSWORD,
            "another good password",
            "correct horse battery staple",
            "kV9$wqpLz2x",
            "thistle-ravine-omelet",
            "ab$$ cd-ef!!x",
        ),
        *("c0rr3ct-h0r$3-b@tt3ry-st4pl3!1", "4@8({[<369#!1|7l$50+%2z"),
        *("пароль из трёх слов", "fjord unmapped quilt", "x9" + "password" * 9 + "Lq7!vRz2#tWm9$"),
    ],
)
def test_a_password_that_is_not_common_is_accepted(password: str) -> None:
    assert not is_easily_guessed(password, ABOUT)


def test_short_words_of_a_name_do_not_spoil_every_password() -> None:
    assert not is_easily_guessed("thistle-ravine-omelet", ("x@y.example", "A B", "", "an of to"))


def test_what_is_known_of_one_person_is_not_held_against_another_who_is_judged_at_once() -> None:
    people = [f"qzjxk{chr(ord('a') + number) * 3}vwpm" for number in range(8)]
    ready = threading.Barrier(len(people))

    def judge(number: int) -> tuple[bool, bool]:
        ready.wait()
        mine = [is_easily_guessed(people[number] + "77", (people[number],)) for _ in range(20)]
        other = [is_easily_guessed(people[number - 1] + "77", (people[number],)) for _ in range(20)]
        return all(mine), any(other)

    with ThreadPoolExecutor(len(people)) as threads:
        assert list(threads.map(judge, range(len(people)))) == [(True, False)] * len(people)


LEET = "4@8({[<369#!1|7l$50+%2z"
"""Signs that stand for letters, all of them."""


def seconds_to_judge(password: str) -> float:
    """CPU time of this thread."""
    began = time.thread_time()
    is_easily_guessed(password, ABOUT)
    return time.thread_time() - began


@pytest.mark.parametrize(
    "password",
    [
        *((LEET * 6)[:length] for length in (36, 48, 72, 128)),
        # Both ends are read, and what they repeat.
        "p@ssw0rd" * 8 + "pa$$word" * 8,
        ("P@ssw0rd1234567890123456" * 6)[:128],
        "p4ssword1!23@abcdefgabcd" * 3,
    ],
)
def test_signs_that_may_stand_for_letters_do_not_make_it_take_for_ever(password: str) -> None:
    # In turns, so that whatever else the machine does befalls both.
    taken = [(seconds_to_judge(password), seconds_to_judge("thistle-ravine-omelet")) for _ in range(5)]
    # It is ten to forty times as long; reading the text in all ways that there are is a thousand times.
    assert min(one for one, _ in taken) < 150 * min(ordinary for _, ordinary in taken), taken
