"""An organisation whose documents are led into another vector space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ingesting import queued

from jobs import reembed
from jobs.services import JobServices
from owner import as_owner
from product import Person

REEMBED = """mutation($model: String) { reembedDocuments(input: {model: $model}) { __typename
  ... on ReembedDocumentsPayload { embeddings { model reembedding { model status chunksDone } } }
  ... on UserError { code reason: message } ... on InvalidInput { field } } }"""
STANDS = """{ viewer { embeddings { model models reembedding { model status chunksDone chunksTotal finishedAt
  failure { code message retryable } } } } }"""


@dataclass
class Org:
    """An organisation with documents, and what is stored of it."""

    person: Person
    services: JobServices

    async def founded_in(self, model_id: str) -> None:
        """As if its vectors had always been there."""
        await self.owner("UPDATE tenants SET embedding_model_id = $2 WHERE id = $1", model_id)

    async def add(self, *texts: str) -> None:
        """Documents, made searchable."""
        for number, text in enumerate(texts):
            document = await queued(self.person.product, text.encode(), f"{number}.txt", self.person)
            await document.run(self.services)
            assert (await document.state()).status == "READY"

    async def ask(self, model: str | None = None) -> dict[str, Any]:
        """The mutation's result."""
        return (await self.person.query(REEMBED, model=model))["reembedDocuments"]  # type: ignore[no-any-return]

    async def stands(self) -> dict[str, Any]:
        """What a client sees."""
        return (await self.person.query(STANDS))["viewer"]["embeddings"]  # type: ignore[no-any-return]

    async def run(self) -> None:
        """Run the job here and now, as a worker would."""
        ((wanted,),) = await self.owner("SELECT id FROM reembeddings WHERE tenant_id = $1")
        await reembed.reembed({"services": self.services}, self.person.tenant_id.hex, wanted.hex)

    async def age(self) -> None:
        """As if nobody had been heard of for an hour."""
        await self.owner("UPDATE reembeddings SET heartbeat_at = now() - interval '1 hour' WHERE tenant_id = $1")

    async def vectors(self) -> dict[str, int]:
        """How many there are of each space."""
        rows = await self.owner("SELECT model_id, count(*) FROM embeddings WHERE tenant_id = $1 GROUP BY 1")
        return dict(rows)  # type: ignore[arg-type]

    async def owner(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Past row-level security, with the tenant as $1."""
        return await as_owner(self.person.product.settings, statement, self.person.tenant_id, *values)
