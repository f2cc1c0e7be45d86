"""Questions that make sense only after the ones before them: `And how long does it last?`"""

from __future__ import annotations

import re
from collections.abc import Sequence

from providers.words import content_words

# More topical words than this, and a pronoun is mostly explained within the question.
_FEW_WORDS = 4
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|this|these|those|that|there|one|ones"
    r"|er|sie|ihn|ihm|ihr|ihre|ihnen|dies|dieser|diese|dieses|davon|dafür|damit"
    r"|il|ils|elle|elles|celui|celle|cela|ça|ella|ellos|ellas|eso|esto)\b",
    re.IGNORECASE,
)
_GOES_ON = re.compile(
    r"\W*(?:(?:and|but|so|or|und|aber|et|mais|y|pero)\b\W*)?"
    r"(?:(?:what|how) about\b\W*|was ist mit\b\W*|qu.en est-il de\b\W*)?",
    re.IGNORECASE,
)


def standalone(question: str, earlier: Sequence[str]) -> str:
    """The question, and behind it the topic of the one before where it leans on that; else the question as it is.

    `earlier` are the person's questions in this conversation, oldest first. A question leans when it opens with a
    conjunction, has a pronoun and few words of its own, or has none at all (`Why?`).
    """
    if not earlier or not any(character.isalpha() for character in question):
        return question
    opening = _GOES_ON.match(question)
    goes_on = opening is not None and any(character.isalpha() for character in opening[0])
    own = content_words(question)
    if not goes_on and own and not (len(own) <= _FEW_WORDS and _PRONOUN.search(question)):
        return question
    topic = [word for word in dict.fromkeys(content_words(standalone(earlier[-1], earlier[:-1]))) if word not in own]
    rest = question[opening.end() :] if opening is not None else question
    return " ".join((rest or question, *topic))
