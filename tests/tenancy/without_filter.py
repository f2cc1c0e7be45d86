"""Running the product without its queries' tenant filter, so that row-level security alone must hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from datastores.postgres import Postgres

# `documents.tenant_id = $1::UUID` and `tenants.id = $1::UUID`, but not the joins `a.tenant_id = b.tenant_id`.
_FILTER = re.compile(r"\b(\w+\.tenant_id|tenants\.id) = \$(\d+)(?:::UUID)?")


@contextmanager
def tenant_filter_removed(postgres: Postgres) -> Iterator[list[str]]:
    """Make every tenant filter of the application's pool true; yields the statements that had one, rewritten."""
    rewritten: list[str] = []

    def rewrite(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
    ) -> tuple[str, Any]:
        changed, times = _FILTER.subn(r"(\1 = $\2::UUID OR true)", statement)
        if times:
            rewritten.append(changed)
        return changed, parameters

    engine = postgres.engine.sync_engine
    event.listen(engine, "before_cursor_execute", rewrite, retval=True)
    try:
        yield rewritten
    finally:
        event.remove(engine, "before_cursor_execute", rewrite)
