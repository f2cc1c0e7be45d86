"""Scalars that are not as Strawberry has them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Final

from strawberry.schema.types.base_scalars import DecimalDefinition
from strawberry.types.scalar import ScalarDefinition


def _fixed_point(value: Decimal) -> str:
    """Python writes nothing as `0E-9` and a ten-millionth as `1E-7`, which the scalar's description rules out."""
    return format(value, "f")


SCALARS: Final[dict[object, ScalarDefinition]] = {Decimal: replace(DecimalDefinition, serialize=_fixed_point)}
