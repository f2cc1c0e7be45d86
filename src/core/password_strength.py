"""How easily a password is guessed by somebody who begins with the most common ones.

zxcvbn has 30,000 passwords that people used most, names and words, and knows what people make of them: capitals,
`p@ssw0rd`, `password123`, years, rows of the keyboard, repetitions, two words in a row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from threading import Lock

from zxcvbn import matching, zxcvbn

ENOUGH_GUESSES = 100_000_000
"""What zxcvbn calls safe against guessing without a throttle: below are common passwords and their variations."""
ENOUGH_WITHOUT_SIGNS = 1_000_000
"""Of what is left without blanks and stops: zxcvbn takes the dash in `password-password` for as good as a third word.
What it calls safe against guessing that is throttled."""
_BETWEEN = re.compile(r"[\s._,;:!?/+*=~-]+")
"""Signs that stand between words and at their ends; others stand for letters, too."""
_SIGNS = re.compile(r"[\W_]+")
_READ_CHARS = 72
"""zxcvbn reads no more: its time grows with the cube of the length."""
_LEET_CHARS = 96
"""zxcvbn reads a text anew for each way in which its signs may stand for letters (`1` for i or l, `4` or `@` for a): a
thousand times where all signs are there. It may read so many characters in all: what people make of a common word has
up to four ways, and 72 characters with one are still read."""
_WORD_CHARS = 3
_MOST_WORDS = 50
_PRODUCT = "colloquy"
_one_at_a_time = Lock()
"""zxcvbn keeps what is known of a person beside its lists, for the whole process."""


def is_easily_guessed(password: str, about: Iterable[str] = ()) -> bool:
    """Whether it is a common password, or made of what everybody knows of the person: names, address, organisation.

    Takes 6 ms for an ordinary one, up to 100 ms for each end of a long one that repeats, and half as much again where
    name and organisation are made for it: call it in a thread.
    """
    known, plain = list(_words(about)), _plain(password)
    # A long one is safe when either end is.
    if all(_guesses(end, known) < ENOUGH_GUESSES for end in _ends(plain)):
        return True
    joined = _BETWEEN.sub("", plain)
    return joined != plain and all(_guesses(end, known) < ENOUGH_WITHOUT_SIGNS for end in _ends(joined))


def _guesses(text: str, known: list[str]) -> float:
    with _one_at_a_time:
        return float(zxcvbn(text, user_inputs=known)["guesses"])


def _ends(text: str) -> set[str]:
    return {text[:_READ_CHARS], text[-_READ_CHARS:]}


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _words(about: Iterable[str]) -> Sequence[str]:
    """The texts themselves and the words in them, the shorter ones first: an organisation may be a sentence."""
    found = {_PRODUCT}
    for text in about:
        plain = _plain(text).lower()[: 2 * _READ_CHARS]
        found |= {
            *_ends(plain),
            *_SIGNS.split(plain),
            *re.split(r"[\W\d_]+", plain),
            _SIGNS.sub("", plain),
        }
    return sorted((word for word in found if len(word) >= _WORD_CHARS), key=len)[:_MOST_WORDS]


_signs_in = matching.relevant_l33t_subtable


def _signs_to_try(password: str, table: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
    """For each letter the signs in the text that may stand for it; none where there are too many ways to read it."""
    signs: Mapping[str, Sequence[str]] = _signs_in(password, table)
    ways = prod(len(of_letter) for of_letter in signs.values())
    return signs if ways * len(password) <= _LEET_CHARS else {}


matching.relevant_l33t_subtable = _signs_to_try
