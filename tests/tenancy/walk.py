"""The schema, walked: every place where a client names something, the call that reaches it, and all that can be read.

Nothing here knows a field of the schema by its name, so that a new one is walked without anybody remembering it. What
cannot be made up fails, and the message says what to add.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from callers import SCHEMA, TEXTS, Call
from graphql import (
    GraphQLAbstractType,
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLUnionType,
    Undefined,
    get_named_type,
    is_leaf_type,
)

from core.ids import NodeKind, new_id

ROOTS = ("Query", "Mutation", "Subscription")
CURSORS = ("after", "before")
SCALARS: dict[str, Any] = {"Int": 1, "Float": 1.0, "Boolean": True, "DateTime": "2026-01-01T00:00:00+00:00"}
"""What a scalar may be where nothing depends on it."""
NAMED: dict[str, Any] = {
    **TEXTS,
    "text": "When was the town founded?",
    "query": "When was the town founded, and where do the ferries leave from?",
    "first": 50,
}
"""The same of arguments and input fields by their names."""
NEVER = "never given out"
ALL = frozenset(SCHEMA.type_map)
"""As if every type had come already."""


@dataclass(frozen=True)
class Place:
    """An argument, or a field inside one, by which a client names something."""

    owner: str
    field: str
    path: tuple[str, ...]
    cursor: bool

    def __str__(self) -> str:
        return f"{self.owner}.{self.field}({'.'.join(self.path)})"


@dataclass(frozen=True)
class Named:
    """What a call names: at its place this, everywhere else what the caller has."""

    place: Place
    value: str
    own: dict[NodeKind, str]
    given: NodeKind | None = None
    """The kind of a required id beside a cursor."""


def places() -> list[Place]:
    """Every one of the schema."""
    found = []
    for kind in SCHEMA.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                found += [Place(kind.name, name, path, cursor) for path, cursor in _naming(field)]
    return found


def call(named: Named) -> Call:
    """The call that names something at a place. Raises AssertionError where it cannot be made up."""
    place = named.place
    owner = SCHEMA.type_map[place.owner]
    assert isinstance(owner, GraphQLObjectType)
    field, files = owner.fields[place.field], list[str]()
    variables = {
        name: _value(named, (name,), argument.type, files)
        for name, argument in field.args.items()
        if _required(argument) or name == place.path[0]
    }
    declared = ", ".join(f"${name}: {field.args[name].type}" for name in variables)
    given = ", ".join(f"{name}: ${name}" for name in variables)
    # Whether a foreign id is told as a missing one, the first values tell; a cursor may be anywhere.
    asked = f"{place.field}({given}) {selection(field.type, frozenset() if place.cursor else ALL)}"
    verb = place.owner.lower() if place.owner in ROOTS else "query"
    query = f"{verb} Walk({declared}) {{ {_route(place.owner, named.own, asked)} }}"
    return Call(query, variables, files, place.owner == "Subscription")


def readings(own: dict[NodeKind, str]) -> dict[str, Call]:
    """By what it reads: everything there is to read, through every field of the viewer and every object's own id."""
    viewer, found = SCHEMA.type_map["Viewer"], {}
    assert isinstance(viewer, GraphQLObjectType)
    for name, field in viewer.fields.items():
        if (asked := _asked(name, field, frozenset({"Viewer"}))) is not None:
            found[f"Viewer.{name}"] = Call(f"{{ viewer {{ {asked} }} }}", {}, [], False)
    for kind in _node_types():
        identifier = own.get(_kind_of(kind))
        if identifier is not None:
            found[kind.name] = Call(f"{{ {_route(kind.name, own, _inside_of(kind, frozenset()))} }}", {}, [], False)
    return found


def selection(kind: GraphQLOutputType, path: frozenset[str] = frozenset()) -> str:
    """All fields of a type, and of theirs, down to where a type comes again: of that the values alone."""
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    if isinstance(named, GraphQLInterfaceType | GraphQLUnionType):
        # Members may have fields of one name and different types: an alias keeps them apart.
        members = (
            f"... on {one.name} {{ {_inside_of(one, path, f'{one.name}_')} }}"
            for one in SCHEMA.get_possible_types(_abstract(named))
        )
        return f"{{ __typename {' '.join(members)} }}"
    assert isinstance(named, GraphQLObjectType)
    return f"{{ __typename {_inside_of(named, path)} }}"


def twin(cursor: str) -> str:
    """A cursor of the same place in the order that names nothing. Raises AssertionError for an unknown make."""
    changed = re.sub(r"[0-9a-f]{32}", new_id().hex, cursor)
    if changed == cursor:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_").decode()
        changed = re.sub(r"[0-9a-f]{32}", new_id().hex, raw)
        assert changed != raw, f"say in twin() how a cursor like {raw!r} is made"
        changed = base64.urlsafe_b64encode(changed.encode()).decode().rstrip("=")
    return changed


def cursors_in(body: object) -> Iterator[str]:
    """Every cursor in a response."""
    if isinstance(body, dict):
        for name, value in body.items():
            if name.rpartition("_")[2] == "cursor" and isinstance(value, str):
                yield value
            yield from cursors_in(value)
    elif isinstance(body, list):
        for one in body:
            yield from cursors_in(one)


def _naming(field: GraphQLField) -> Iterator[tuple[tuple[str, ...], bool]]:
    for name, argument in field.args.items():
        yield from _inside((name,), argument.type, frozenset())


def _inside(
    path: tuple[str, ...], kind: GraphQLInputType, seen: frozenset[str]
) -> Iterator[tuple[tuple[str, ...], bool]]:
    named = get_named_type(kind)
    if named.name == "ID":
        yield path, False
    elif named.name == "String" and path[-1] in CURSORS:
        yield path, True
    elif isinstance(named, GraphQLInputObjectType) and named.name not in seen:
        for name, field in named.fields.items():
            yield from _inside((*path, name), field.type, seen | {named.name})


def _value(named: Named, path: tuple[str, ...], kind: GraphQLInputType, files: list[str]) -> Any:
    """What to give at a place: what is named there, or what is needed for the call to get so far."""
    if isinstance(kind, GraphQLNonNull):
        return _value(named, path, kind.of_type, files)
    if isinstance(kind, GraphQLList):
        return [_value(named, path, kind.of_type, files)]
    if path == named.place.path:
        return named.value
    if isinstance(kind, GraphQLInputObjectType):
        return {
            name: _value(named, (*path, name), field.type, files)
            for name, field in kind.fields.items()
            if _required(field) or named.place.path[: len(path) + 1] == (*path, name)
        }
    if kind.name == "ID":
        return _own(named, path)
    if kind.name == "Upload":
        files.append(".".join(("variables", *path)))
        return None
    return _sample(path[-1], kind)


def _own(named: Named, path: tuple[str, ...]) -> str:
    """An id beside the place: of the kind that the call is tried with, or that its name says."""
    spelled = re.sub(r"(?<!^)(?=[A-Z])", "_", path[-1].removesuffix("Id")).upper()
    kind = named.given or NodeKind.__members__.get(spelled)
    assert kind is not None, f"{named.place}: name {path[-1]} after the kind of object that it takes"
    return named.own.get(kind, NEVER)


def _sample(name: str, kind: GraphQLInputType) -> Any:
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if name in NAMED:
        return NAMED[name]
    named = get_named_type(kind).name
    if named == "String":
        return "some text"
    assert named in SCALARS, f"say in SCALARS what a {named} may be, or in NAMED what `{name}` may"
    return SCALARS[named]


def _route(owner: str, own: dict[NodeKind, str], asked: str) -> str:
    """The selection of a root that asks this of an object of the type."""
    if owner in ROOTS:
        return asked
    if owner == "Viewer":
        return f"viewer {{ {asked} }}"
    kind = SCHEMA.type_map[owner]
    assert isinstance(kind, GraphQLObjectType)
    if kind in _node_types():
        return f'node(id: "{own.get(_kind_of(kind), NEVER)}") {{ ... on {owner} {{ {asked} }} }}'
    for parent, field in _holders(kind):
        if parent.name == "Viewer" or parent in _node_types():
            return _route(parent.name, own, f"{field} {{ {asked} }}")
    raise AssertionError(f"{owner} is neither a Node nor a field of one: say in _route() how to reach it")


def _holders(kind: GraphQLObjectType) -> Iterator[tuple[GraphQLObjectType, str]]:
    for parent in SCHEMA.type_map.values():
        if isinstance(parent, GraphQLObjectType) and parent.name not in ROOTS:
            for name, field in parent.fields.items():
                if get_named_type(field.type) is kind and not any(map(_required, field.args.values())):
                    yield parent, name


def _asked(name: str, field: GraphQLField, path: frozenset[str], alias: str = "") -> str | None:
    """A field with the arguments that it needs and all that is in it; None where it needs an id."""
    given = {one: argument for one, argument in field.args.items() if _required(argument) or one == "first"}
    if any(get_named_type(argument.type).name == "ID" for argument in given.values()):
        return None
    literals = ", ".join(f"{one}: {_literal(one, argument)}" for one, argument in given.items())
    shown = f"{alias and f'{alias}{name}: '}{name}{f'({literals})' if literals else ''}"
    return f"{shown} {selection(field.type, path)}"


def _inside_of(kind: GraphQLObjectType, path: frozenset[str], alias: str = "") -> str:
    fields = kind.fields.items()
    if kind.name in path:
        fields = {name: one for name, one in fields if is_leaf_type(get_named_type(one.type))}.items()
    asked = (_asked(name, field, path | {kind.name}, alias) for name, field in fields)
    return " ".join(one for one in asked if one is not None)


def _literal(name: str, argument: GraphQLArgument) -> str:
    value = _sample(name, argument.type.of_type if isinstance(argument.type, GraphQLNonNull) else argument.type)
    return f'"{value}"' if isinstance(value, str) and not isinstance(argument.type, GraphQLEnumType) else str(value)


def _node_types() -> list[GraphQLObjectType]:
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    return list(SCHEMA.get_possible_types(node))


def _kind_of(kind: GraphQLObjectType) -> NodeKind:
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.name).upper()
    assert name in NodeKind.__members__, f"the Node {kind.name} has no NodeKind {name}"
    return NodeKind[name]


def _abstract(kind: GraphQLInterfaceType | GraphQLUnionType) -> GraphQLAbstractType:
    return kind


def _required(given: GraphQLArgument | GraphQLInputField) -> bool:
    return isinstance(given.type, GraphQLNonNull) and given.default_value is Undefined
