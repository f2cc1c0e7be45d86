"""How GraphQL types are backed: their values are the records that reads return, never copies.

A relation is declared once, as the parent's key attribute and the loader that turns keys into rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

import strawberry

from core.ids import NodeKind, to_global
from resolvers.context import Context
from schema.limits.price import LOADED, PRICE

T = TypeVar("T")
Info = strawberry.Info[Context, None]


@dataclass(frozen=True, slots=True)
class Relation:
    """Where a relation's rows come from: `loader` is an attribute of `loaders.Loaders`, `key` one of the parent."""

    loader: str
    key: str


@dataclass_transform(kw_only_default=True)
def backed_by(
    record: type[Any], *, name: str | None = None, description: str | None = None
) -> Callable[[type[T]], type[T]]:
    """A GraphQL type whose values are `record`s: its plain fields are read from the record's attributes."""

    def decorate(cls: type[T]) -> type[T]:
        def is_type_of(_cls: type[T], value: object, _info: object) -> bool:
            return type(value) is record

        cls.is_type_of = classmethod(is_type_of)  # type: ignore[attr-defined]
        cls.record = record  # type: ignore[attr-defined]
        return strawberry.type(cls, name=name, description=description)

    return decorate


def global_id(kind: NodeKind, key: str = "id") -> Any:
    """The opaque id made from the record's UUID."""

    def resolve(root: Any) -> strawberry.ID:
        return strawberry.ID(to_global(kind, getattr(root, key)))

    return strawberry.field(resolver=resolve, description="Opaque; valid for `node`.")


def relation(loader: str, key: str, description: str | None = None) -> Any:
    """A related object (or list) by the parent's key, batched over all parents; null for a null key."""

    async def resolve(root: Any, info: Info) -> Any:
        value = getattr(root, key)
        return None if value is None else await getattr(info.context.loaders, loader).load(value)

    metadata = {"relation": Relation(loader, key), PRICE: LOADED}
    return strawberry.field(resolver=resolve, metadata=metadata, description=description)


def computed(function: Callable[[Any], Any], description: str | None = None) -> Any:
    """A field that is a pure function of the record."""

    def resolve(root: Any) -> Any:
        return function(root)

    return strawberry.field(resolver=resolve, description=description)
