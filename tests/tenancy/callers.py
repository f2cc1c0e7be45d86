"""Every role of a tenant, an API key and nobody, and any operation of the schema as one of them calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    build_schema,
    get_named_type,
    is_leaf_type,
)
from two_tenants import Tenant, missing

from core.ids import NodeKind, new_id, to_global
from core.opaque_tokens import TokenKind
from datastores.api_keys import add_key
from datastores.models import Role
from datastores.people import add_user
from datastores.postgres import Purpose
from datastores.sessions import add_session
from product import Product
from resolvers.permissions import Operation
from schema.root import print_schema

SCHEMA = build_schema(print_schema())
DENIALS = ("FORBIDDEN", "UNAUTHENTICATED")
TEXTS = {"email": "somebody@example.test", "password": "a good password", "newPassword": "another good password"}


@dataclass(frozen=True)
class Caller:
    """A role of the tenant, signed in or by an API key; or nobody."""

    name: str
    role: Role | None
    api_key: bool = False

    async def token(self, product: Product, tenant: Tenant) -> str | None:
        """A token that nothing has been done with yet, of a person whom nothing has been done to."""
        if self.role is None:
            return None
        services, secret = product.services, ""
        email = f"{new_id().hex}@example.test"
        async with services.postgres.platform(Purpose.SIGN_UP) as platform:
            person = await add_user(platform, tenant.id, name="Cal", email=email, password_hash="none", role=self.role)
        assert person is not None
        async with services.postgres.write(tenant.id) as tx:
            if self.api_key:
                key_id = new_id()
                secret, key_hash = services.tokens.mint(TokenKind.API_KEY, tenant.id, key_id)
                await add_key(tx, key_id, person, name="matrix", role=self.role, key_hash=key_hash, hint="none")
                return secret
            expires_at = datetime.now(UTC) + timedelta(days=1)
            await add_session(tx, person, session_id := new_id(), device="", address="", expires_at=expires_at)
        return services.signer.issue_access(person, tenant.id, session_id)[0]


CALLERS = (
    Caller("nobody", None),
    *(Caller(role.value, role) for role in Role),
    Caller("a key", Role.ADMIN, api_key=True),
)


@dataclass(frozen=True)
class Call:
    """One operation with arguments made from the schema."""

    query: str
    variables: dict[str, Any]
    files: list[str]
    """Where in the variables a file belongs, by the GraphQL multipart request specification."""
    subscription: bool

    @classmethod
    def of(cls, operation: Operation, ids: dict[str, str]) -> Call:
        """The call with these objects' ids. Raises AssertionError where an argument cannot be made up."""
        root, _, name = operation.value.field.partition(".")
        kind = SCHEMA.type_map[root]
        assert isinstance(kind, GraphQLObjectType)
        field, files = kind.fields[name], list[str]()
        made = _Arguments(operation, ids, files)
        variables = {arg: made.value(arg, f"variables.{arg}", one) for arg, one in field.args.items() if _needed(one)}
        declared = ", ".join(f"${arg}: {field.args[arg].type}" for arg in variables)
        given = ", ".join(f"{arg}: ${arg}" for arg in variables)
        body = f"{name}{f'({given})' if given else ''}{_selection(field)}"
        if root == "Viewer":
            body = f"viewer {{ {body} }}"
        verb = "query" if root == "Viewer" else root.lower()
        query = f"{verb}{f'({declared})' if declared else ''} {{ {body} }}"
        return cls(query, variables, files, root == "Subscription")

    async def answer(self, product: Product, token: str | None) -> dict[str, Any]:
        """The whole response, or the first frame, over the product's real sockets."""
        if self.subscription:
            async with product.socket(token) as socket:
                payload = {"query": self.query, "variables": self.variables}
                await socket.send_json({"id": "1", "type": "subscribe", "payload": payload})
                frame = await socket.receive_json()
                return {"errors": frame["payload"]} if frame["type"] == "error" else frame.get("payload", {})
        if not self.files:
            return await product.post(self.query, self.variables, token)
        form = aiohttp.FormData()
        form.add_field("operations", json.dumps({"query": self.query, "variables": self.variables}))
        form.add_field("map", json.dumps({"0": self.files}))
        form.add_field("0", new_id().hex.encode(), filename="matrix.txt")
        headers = {"x-colloquy-preflight": "1"} | ({"Authorization": f"Bearer {token}"} if token else {})
        async with product.http.post(f"{product.url}/graphql", data=form, headers=headers) as response:
            return json.loads(await response.read())  # type: ignore[no-any-return]


def present_ids(tenant: Tenant, session_id: str, key_id: str) -> dict[str, str]:
    """Ids of the tenant's own objects, by the name of their kind."""
    return tenant.ids | {
        "Session": session_id,
        "ApiKey": key_id,
        "Invitation": tenant.invitation,
        "Prompt": tenant.prompt,
    }


def missing_ids(tenant: Tenant) -> dict[str, str]:
    """Ids of the same kinds that nothing has."""
    kinds = {
        "Session": NodeKind.SESSION,
        "ApiKey": NodeKind.API_KEY,
        "Invitation": NodeKind.INVITATION,
        "Prompt": NodeKind.PROMPT,
    }
    made = {name: to_global(kind, new_id()) for name, kind in kinds.items()}
    return {name: missing(one) for name, one in tenant.ids.items()} | made


def codes(body: dict[str, Any]) -> list[str]:
    """The codes of a response's errors."""
    return [error["extensions"]["code"] for error in body.get("errors") or ()]


@dataclass
class _Arguments:
    operation: Operation
    ids: dict[str, str]
    files: list[str]

    def value(self, name: str, path: str, given: GraphQLArgument | GraphQLInputField) -> Any:
        kind: GraphQLInputType = given.type
        if isinstance(kind, GraphQLNonNull):
            kind = kind.of_type
        if isinstance(kind, GraphQLList):
            return [self._one(name, path, get_named_type(kind))]
        return self._one(name, path, kind)

    def _one(self, name: str, path: str, kind: Any) -> Any:
        if isinstance(kind, GraphQLInputObjectType):
            return {n: self.value(n, f"{path}.{n}", one) for n, one in kind.fields.items() if _needed(one)}
        if isinstance(kind, GraphQLEnumType):
            return next(iter(kind.values))
        if kind.name == "Upload":
            self.files.append(path)
            return None
        if kind.name == "ID":
            return self.ids[self._named(name)]
        known: dict[str, Any] = {"String": TEXTS.get(name, "some text"), "Int": 1, "Float": 1.0, "Boolean": True}
        assert kind.name in known, f"{self.operation.value.field}: say here what a {kind.name} may be ({path})"
        return known[kind.name]

    def _named(self, name: str) -> str:
        """What an id names: `assistantId` an Assistant; `id` and `ids` what the operation is about."""
        if name in ("id", "ids"):
            about = {
                Operation.ANSWER: "Answer",
                Operation.CONVERSATION: "Conversation",
                Operation.DOCUMENT_PROGRESS: "Document",
            }
            kind = about.get(self.operation, "Document")
        elif name == "actorId":
            kind = "User"
        else:
            spelled = name[0].upper() + name[1:].removesuffix("Id").removesuffix("Ids")
            # `replacementAssistantId` and `addDocumentIds` name what the last word says.
            kind = next((one for one in self.ids if one == spelled), next(filter(spelled.endswith, self.ids), spelled))
        assert kind in self.ids, f"{self.operation.value.field}: no object of these tests is a {kind} (`{name}`)"
        return kind


def _needed(given: GraphQLArgument | GraphQLInputField) -> bool:
    """All input fields that name something, and whatever else must be there."""
    named = get_named_type(given.type)
    required = isinstance(given.type, GraphQLNonNull)
    return required or named.name == "ID" or isinstance(named, GraphQLInputObjectType)


def _selection(field: GraphQLField) -> str:
    return "" if is_leaf_type(get_named_type(field.type)) else " { __typename }"
