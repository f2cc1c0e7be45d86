"""The schema, put together."""

from __future__ import annotations

from typing import Final

from strawberry.tools import merge_types

from core.settings import Settings
from schema.access import AccessMutations
from schema.accounts import AccountMutations
from schema.answers import AnswerMutations
from schema.assistants import AssistantMutations
from schema.document_life import DocumentLifeMutations
from schema.execution import ColloquySchema
from schema.identity import IdentityMutations
from schema.knowledge import KnowledgeMutations
from schema.messages import MessageMutations
from schema.prompts import PromptMutations
from schema.providers import ProviderMutations
from schema.query import Query
from schema.reembedding import ReembeddingMutations
from schema.subscription import Subscription
from schema.tenants import TenantMutations

Mutation = merge_types(
    "Mutation",
    (
        IdentityMutations,
        AccountMutations,
        AccessMutations,
        TenantMutations,
        ProviderMutations,
        PromptMutations,
        AssistantMutations,
        KnowledgeMutations,
        DocumentLifeMutations,
        ReembeddingMutations,
        MessageMutations,
        AnswerMutations,
    ),
)


_DEFAULTS: Final = Settings.model_construct()
"""What the settings are without an environment."""


def make_schema(*, introspection: bool = True, settings: Settings = _DEFAULTS) -> ColloquySchema:
    """The executable schema with the limits that the settings name.

    `introspection` off refuses `__schema` and `__type`, and keeps suggestions of names out of errors.
    """
    return ColloquySchema(Query, Mutation, Subscription, settings=settings, introspection=introspection)


def print_schema() -> str:
    """The contract as committed in `schema.graphql`."""
    return make_schema().as_str() + "\n"
