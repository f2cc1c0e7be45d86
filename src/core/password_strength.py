"""How easily a password is guessed by somebody who begins with the most common ones.

zxcvbn has 30,000 passwords that people used most, names and words, and knows what people make of them: capitals,
`p@ssw0rd`, `password123`, years, rows of the keyboard, repetitions, two words in a row.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from zxcvbn import zxcvbn

ENOUGH_GUESSES = 100_000_000
"""What zxcvbn calls safe against guessing without a throttle: below are common passwords and their variations."""
_READ_CHARS = 72
"""zxcvbn reads no more: its time grows with the cube of the length. 60 ms for the worst of these."""
_WORD_CHARS = 3
_MOST_WORDS = 50
_PRODUCT = "colloquy"


def is_easily_guessed(password: str, about: Iterable[str] = ()) -> bool:
    """Whether it is a common password, or made of what everybody knows of the person: names, address, organisation.

    Takes up to 120 ms: call it in a thread.
    """
    text = _plain(password)
    known = _words(about)
    # A long one is safe when either end is.
    ends = {text[:_READ_CHARS], text[-_READ_CHARS:]}
    return all(float(zxcvbn(end, user_inputs=list(known))["guesses"]) < ENOUGH_GUESSES for end in ends)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _words(about: Iterable[str]) -> Sequence[str]:
    """The texts themselves and the words in them, the shorter ones first: an organisation may be a sentence."""
    found = {_PRODUCT}
    for text in about:
        plain = _plain(text).lower()[: 2 * _READ_CHARS]
        found |= {plain, *re.split(r"[\W_]+", plain), *re.split(r"[\W\d_]+", plain), re.sub(r"[\W_]+", "", plain)}
    return sorted((word for word in found if len(word) >= _WORD_CHARS), key=len)[:_MOST_WORDS]
