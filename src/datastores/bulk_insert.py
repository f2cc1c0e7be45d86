"""Many rows at once, into tables with row-level security.

PostgreSQL refuses COPY into such a table, so rows are copied into a temporary table that ends with the transaction and
inserted from there, where the policies check them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from datastores.transactions import WriteTransaction


async def bulk_insert(
    tx: WriteTransaction,
    target: str,
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    staged_types: dict[str, str],
    conversions: dict[str, str],
) -> None:
    """COPY into a temporary table, then INSERT … SELECT. All names are this module's own, never a client's."""
    if not rows:
        return
    staging = f"staging_{target}"
    quoted = ", ".join(f'"{column}"' for column in columns)
    blank = ", ".join(f'NULL::{staged_types[c]} AS "{c}"' if c in staged_types else f'"{c}"' for c in columns)
    await tx.execute(sa.text(f"DROP TABLE IF EXISTS pg_temp.{staging}"))
    await tx.execute(
        sa.text(
            f"CREATE TEMPORARY TABLE {staging} ON COMMIT DROP AS SELECT {blank} FROM {target} WITH NO DATA".replace(
                "::", r"\:\:"
            )
        )
    )
    await tx.copy(staging, columns, rows)
    values = ", ".join(
        (conversions[c] % f'"{c}"' if "%s" in conversions[c] else f'CAST("{c}" AS {conversions[c]})')
        if c in conversions
        else f'"{c}"'
        for c in columns
    )
    await tx.execute(sa.text(f"INSERT INTO {target} ({quoted}) SELECT {values} FROM pg_temp.{staging}"))
