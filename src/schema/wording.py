"""What graphql-core says of input that does not fit, without the values that it quotes: one may be a password.

Its errors have nothing but a message, so it is the message that is cut: at the first place where a value may begin,
told by the words before it. A message about a value that has none of these words is not passed on at all.
"""

from __future__ import annotations

import re
from typing import Final

from graphql import GraphQLError, GraphQLSyntaxError, ValueNode
from graphql.language import ObjectFieldNode

MISFIT: Final = "This is no value of the type that is expected."
"""For what the words below do not know."""

_NAME = r"[_A-Za-z][_0-9A-Za-z]{0,200}"
_TYPE = rf"'[\[\]!]*{_NAME}[\[\]!]*'"
_DID_YOU_MEAN: Final = " Did you mean "
_SUGGESTION = rf"{_DID_YOU_MEAN}[\w', ]+\?"
_PLACE: Final = re.compile(
    rf"(?:Variable '\${_NAME}'(?: defined by fragment '{_NAME}')?|Argument '{_NAME}')"
    rf" has invalid (?:default )?value(?: at (?:\.{_NAME}|\[\d+\])+)?: "
)
"""Before what is wrong with a value: where it is."""
_EXPECTED = rf"Expected value of type {_TYPE}"
_QUOTING: Final = [
    (rf"({_EXPECTED} to be an object), found: .*", r"\1."),
    (rf"({_EXPECTED} to include required field '{_NAME}'), found: .*", r"\1."),
    (rf"({_EXPECTED} not to include unknown field '{_NAME}'), found: .*", r"\1."),
    (rf"({_EXPECTED} not to include unknown field '{_NAME}'\.{_SUGGESTION}) Found: .*", r"\1"),
    # The name of an unknown field may be any text in variables.
    (rf"({_EXPECTED} not to include) unknown field '.*", r"\1 an unknown field."),
    (rf"({_EXPECTED})(?:, found: |, but encountered error ).*", r"\1."),
    (r"((?:Int|Float|String|Boolean|ID) cannot represent [a-z0-9 -]*value): .*", r"\1."),
    (rf"(Enum '{_NAME}' cannot represent [a-z -]*value): .*", r"\1."),
    (rf"Value '.*' (does not exist in '{_NAME}' enum\.)", r"The value \1"),
    (rf"(Value cannot represent an? {_NAME}): .*", r"\1."),
    (r"(Syntax Error: .*?(?:Unexpected|found) (?:Int|Float|String|BlockString|Name))\b.*", r"\1."),
    (r"(Syntax Error: Invalid (?:character|Unicode) escape sequence): .*", r"\1."),
    (r"(Syntax Error: Invalid number), .*", r"\1."),
]
_HARMLESS: Final = [
    rf"Expected (?:a )?value of non-null type {_TYPE} .*",
    rf"Expected variable '\${_NAME}' provided to .*",
    rf"Within OneOf Input Object type {_TYPE}, exactly one field must be specified, .*",
]
_CUTS: Final = [(re.compile(pattern, re.DOTALL | re.ASCII), kept) for pattern, kept in _QUOTING]
_OF_ENUM: Final = re.compile(_SUGGESTION, re.ASCII)
"""What may follow behind an enum's value."""
_KNOWN: Final = re.compile("|".join(_HARMLESS))


def without_values(error: GraphQLError) -> str:
    """The error's message, without what was given as a value in the document or its variables."""
    message = error.message
    place = _PLACE.match(message)
    where, wrong = ("", message) if place is None else (place[0], message[place.end() :])
    end = wrong.rfind(_DID_YOU_MEAN) if wrong.startswith(("Enum '", "Value '")) else -1
    suggestion = wrong[end:] if end >= 0 and _OF_ENUM.fullmatch(wrong, end) else ""
    quoting = wrong.removesuffix(suggestion)
    for pattern, kept in _CUTS:
        if found := pattern.fullmatch(quoting):
            return where + found.expand(kept) + suggestion
    if _KNOWN.fullmatch(wrong):
        return where + wrong.replace("not to be None", "not to be null")
    about_value = place is not None or " has invalid " in message or any(map(_is_value, error.nodes or ()))
    return where + MISFIT if about_value and not isinstance(error, GraphQLSyntaxError) else message


def _is_value(node: object) -> bool:
    return isinstance(node, (ValueNode, ObjectFieldNode))
