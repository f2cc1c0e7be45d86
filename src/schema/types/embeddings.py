"""The vector space of an organisation's documents, and the way into another one."""

from __future__ import annotations

from datetime import datetime

import strawberry

from datastores import records
from resolvers import reembedding
from schema.enums import ReembeddingStatus
from schema.records import backed_by, computed
from schema.types.failure import Failure, failure_of


@backed_by(
    records.ReembeddingRecord,
    description="All documents on their way into another vector space. The one before is searched until it is done.",
)
class Reembedding:
    model: str = computed(lambda record: record.model_id, "The space that it leads to.")
    status: ReembeddingStatus
    chunks_done: int
    chunks_total: int = strawberry.field(description="Counted anew every minute; 0 until a worker has begun.")
    failure: Failure | None = computed(failure_of, "Of a RUNNING one: why it pauses.")
    created_at: datetime
    finished_at: datetime | None


@backed_by(reembedding.Embeddings, description="What the organisation's documents are embedded with.")
class Embeddings:
    model: str = strawberry.field(
        description="The vector space that is searched, such as `text-embedding-3-small@1536`."
    )
    models: list[str] = strawberry.field(description="Those that are set up here; new organisations get the first.")
    reembedding: Reembedding | None = strawberry.field(description="The last one; null where there was none.")
