"""Run by Alembic with the connection that `datastores.migrate` opened."""

import re
from collections.abc import Mapping
from typing import Any

from alembic import context

from datastores.models import metadata

# What the models do not declare: PostgreSQL's own partitions of `messages` and `audit_log`, its twin of a foreign key
# to `messages` for each partition, and the HNSW index that each embedding model brings in its migration.
_NOT_IN_MODELS = {
    "table": re.compile(r"messages_p\d+|audit_log_\w+"),
    "foreign_key_constraint": re.compile(r"fk_answers_tenant_id_question_id_\d+"),
    "index": re.compile(r"ix_embeddings_hnsw_\w+"),
}


def _is_compared(name: str | None, kind: str, _parents: Mapping[Any, str | None]) -> bool:
    """Whether a thing that the database has is compared with the models."""
    return name is None or kind not in _NOT_IN_MODELS or not _NOT_IN_MODELS[kind].fullmatch(name)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    compare_type=True,
    include_name=_is_compared,
)
with context.begin_transaction():
    context.run_migrations()
