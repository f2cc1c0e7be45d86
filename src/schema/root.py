"""The schema, put together."""

from __future__ import annotations

import strawberry
from graphql.validation import NoSchemaIntrospectionCustomRule
from strawberry.extensions import AddValidationRules
from strawberry.schema.config import StrawberryConfig
from strawberry.tools import merge_types

from schema.access import AccessMutations
from schema.execution import ColloquySchema, Executor, OperationScope
from schema.identity import IdentityMutations
from schema.knowledge import KnowledgeMutations
from schema.messages import MessageMutations
from schema.query import Query
from schema.subscription import Subscription

Mutation = merge_types("Mutation", (IdentityMutations, AccessMutations, KnowledgeMutations, MessageMutations))


def make_schema(*, introspection: bool = True) -> strawberry.Schema:
    """The executable schema; `introspection` off refuses `__schema` and `__type`."""
    extensions: list[object] = [OperationScope]
    if not introspection:
        extensions.append(lambda: AddValidationRules([NoSchemaIntrospectionCustomRule]))
    return ColloquySchema(
        Query,
        Mutation,
        Subscription,
        extensions=extensions,  # type: ignore[arg-type]
        execution_context_class=Executor,
        config=StrawberryConfig(),
    )


def print_schema() -> str:
    """The contract as committed in `schema.graphql`."""
    return make_schema().as_str() + "\n"
