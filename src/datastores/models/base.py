"""What all tables share: UUIDv7 ids, `(tenant_id, id)` primary keys, composite foreign keys between tenant tables."""

from __future__ import annotations

import enum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from core.ids import new_id

# Names are fixed by rule, so that a migration can name every constraint it touches.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class TenantRow(SQLModel):
    """A row that belongs to one tenant. Its key is `(tenant_id, id)`; row-level security guards its table."""

    tenant_id: UUID = Field(primary_key=True)
    id: UUID = Field(default_factory=new_id, primary_key=True)


def tenant_key(
    column: str, table: str, *, ondelete: str | None = "CASCADE", use_alter: bool = False
) -> sa.ForeignKeyConstraint:
    """A composite foreign key `(tenant_id, column)` -> `table (tenant_id, id)`.

    Foreign-key checks bypass row-level security: with a plain key one tenant could point at another's row.
    """
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete=ondelete, use_alter=use_alter
    )


def text_enum(values: type[enum.Enum]) -> sa.Enum:
    """An enum stored as its name in a text column: adding a member needs no rewrite of a database type."""
    return sa.Enum(values, native_enum=False, create_constraint=False, length=32)


def moment(*, nullable: bool = False) -> Any:
    """A `timestamptz` column that PostgreSQL fills with the transaction's time unless it may be null."""
    if nullable:
        return Field(default=None, sa_type=sa.DateTime(timezone=True))
    return Field(
        default=None,
        sa_type=sa.DateTime(timezone=True),
        sa_column_kwargs={"server_default": sa.func.now(), "nullable": False},
    )
