"""`docs/permissions.md`: the table of permissions, written out for people."""

from __future__ import annotations

from collections.abc import Iterator

from datastores.models import Role
from resolvers.permissions import Operation, Permission
from resolvers.visibility import VISIBILITY

_KINDS = {"Query": "Queries", "Viewer": "The viewer", "Subscription": "Subscriptions", "Mutation": "Mutations"}
_OPENING = """\
# Who may do what

Written by `make permissions` from `src/resolvers/permissions.py` and `src/resolvers/visibility.py`: change those.

Roles, weakest first: USER, OPERATOR, BUSINESS, ADMIN. A stronger role may do all that a weaker one may. An API key acts
for the person who made it, with the weaker of the key's role and that person's; "key" says whether it may at all.

Nobody reads or changes anything of another organisation, whatever their role: what is foreign is answered like what is
missing.
"""
_OF_VIEWER = "To nobody `viewer` is null, and with it all of these."
_OF_OBJECTS = """\
## What is seen of an object

An operation leads to objects; these rows say who sees which of their fields. What a person does not see is left out of
lists and null elsewhere.

| Type | Fields | Seen by |
| --- | --- | --- |"""


def permissions_page() -> str:
    """The whole page, as Markdown."""
    lines = [_OPENING]
    for kind, title in _KINDS.items():
        rows = [operation.value for operation in Operation if operation.value.field.startswith(f"{kind}.")]
        lines += [f"## {title}", "", *([_OF_VIEWER, ""] if kind == "Viewer" else ()), *_operations(rows), ""]
    lines.append(_OF_OBJECTS)
    for row in VISIBILITY:
        types, fields = (", ".join(f"`{name}`" for name in names) for names in (row.types, row.fields))
        lines.append(f"| {types} | {fields} | {row.seen_by} |")
    return "\n".join(lines) + "\n"


def _operations(rows: list[Permission]) -> Iterator[str]:
    columns = ["Operation", "nobody", *(role.value for role in Role), "key", "On what"]
    yield f"| {' | '.join(columns)} |"
    yield f"| --- |{' :-: |' * (len(columns) - 2)} --- |"
    for row in rows:
        allowed = [row.allows(None), *(row.allows(role) for role in Role), row.api_key]
        marks = " | ".join("yes" if one else "–" for one in allowed)
        yield f"| `{row.field.partition('.')[2]}` | {marks} | {row.scope} |"
