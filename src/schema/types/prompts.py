"""The prompt library, and a prompt as a model would get it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import strawberry

from core.ids import NodeKind, to_global
from datastores import records
from datastores.prompts import PromptRecord
from resolvers import prompts
from schema.connections import ConnectionRecord, EdgeRecord, PageInfo, edge_cursor
from schema.records import backed_by, computed


def _id(record: Any) -> strawberry.ID:
    return strawberry.ID(to_global(NodeKind.PROMPT, record.id))


@backed_by(PromptRecord, description="A named system prompt. Its versions are never changed.")
class Prompt:
    id: strawberry.ID = computed(_id, "Opaque; for `promptId`.")
    name: str
    description: str
    text: str = strawberry.field(
        description="Of the newest version. `$assistant`, `$organization`, `$date` and `$language` are replaced."
    )
    newest: int = strawberry.field(description="The number of the newest version, counted from 1.")
    shipped: bool = computed(lambda record: record.shipped_key is not None, "Whether it came with the product.")
    created_at: datetime


@backed_by(records.PromptVersionRecord, description="What a prompt said from then on, until the next version.")
class PromptVersion:
    number: int
    text: str
    shipped: bool = strawberry.field(description="Whether it came with the product, and nobody here wrote it.")
    created_at: datetime


@backed_by(EdgeRecord, name="PromptEdge")
class PromptEdge:
    cursor: str = edge_cursor()
    node: Prompt


@backed_by(ConnectionRecord, name="PromptConnection")
class PromptConnection:
    edges: list[PromptEdge]
    nodes: list[Prompt]
    page_info: PageInfo


@backed_by(EdgeRecord, name="PromptVersionEdge")
class PromptVersionEdge:
    cursor: str = edge_cursor()
    node: PromptVersion


@backed_by(ConnectionRecord, name="PromptVersionConnection")
class PromptVersionConnection:
    edges: list[PromptVersionEdge]
    nodes: list[PromptVersion]
    page_info: PageInfo


@backed_by(prompts.Rendered, description="What a model would be asked as the first question of a conversation.")
class RenderedPrompt:
    system: str = computed(lambda one: one.request.system, "The system prompt, with the rules and the instructions.")
    message: str = computed(lambda one: one.request.messages[-1].text, "The context and the question.")
    provider: str
    model: str = computed(lambda one: one.request.model)
    temperature: float = computed(lambda one: one.request.temperature)
    passage_count: int = computed(lambda one: len(one.request.passages), "Passages in the context.")
    passages_cut: int = strawberry.field(description="Passages that were found and did not fit.")
    estimated_tokens: int = strawberry.field(description="Of system prompt and message, from above.")
    context_tokens: int = strawberry.field(description="What they may be, history included.")
