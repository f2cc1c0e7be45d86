"""What a field costs beyond the 1 that every field does: said where the field is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from graphql import GraphQLField
from strawberry.schema.schema_converter import GraphQLCoreConverter

PRICE: Final = "price"
"""The key in a Strawberry field's `metadata`."""


@dataclass(frozen=True, slots=True)
class Price:
    """In plain fields, of which one takes about six microseconds."""

    once: int = 0
    """For the field."""
    each: int = 0
    """For each item of the list that it is."""


LOADED: Final = Price(once=4)
"""Through a loader, whose statement is shared by all that ask."""
LOADED_LIST: Final = Price(once=10)
"""A page or a text of its own for each parent, through a loader."""
OWN_STATEMENT: Final = Price(once=200)
"""Of SQL, which takes a millisecond or two of this process."""
SIGNED: Final = Price(once=2)
NODES: Final = Price(each=4)
SEARCH: Final = Price(once=5_000)
"""A question is embedded by a model, for 15 to 60 ms of a core, and a search in all vectors follows."""
_FREE: Final = Price()


def price_of(field: GraphQLField) -> Price:
    """What a field of the schema has been given as its price."""
    definition = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    price = definition.metadata.get(PRICE) if definition is not None else None
    return price if isinstance(price, Price) else _FREE
