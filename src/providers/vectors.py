"""What hosted embedding models have in common: the texts that may be sent, and the vectors that may come back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import structlog

from providers import failures

Vectors = npt.NDArray[np.float32]
_log = structlog.get_logger(__name__)


def check_texts(texts: Sequence[str], most: int) -> None:
    """Raises ValueError for a batch that a vendor would refuse as a whole: more than `most` texts, or a blank one."""
    if len(texts) > most:
        raise ValueError(f"{len(texts)} texts in one call; the limit is {most}.")
    if any(not text.strip() for text in texts):
        raise ValueError("A blank text cannot be embedded: the provider refuses the whole batch for it.")


def unit_rows(rows: Sequence[Vectors], *, count: int, dimensions: int, model: str) -> Vectors:
    """The rows as one array of shape (count, dimensions), each of length 1. Raises PROVIDER_BAD_RESPONSE.

    Vendors give unit vectors at a model's full size alone; what is cut to fewer dimensions is shorter.
    """
    if len(rows) != count or any(row.shape != (dimensions,) for row in rows):
        received = (len(rows), sorted({row.shape[0] for row in rows}))
        _log.warning("vectors_misshapen", model=model, asked=(count, dimensions), received=received)
        raise failures.unreadable()
    vectors = np.stack(rows)
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        _log.warning("vectors_without_direction", model=model)
        raise failures.unreadable()
    unit: Vectors = (vectors / lengths).astype(np.float32)
    return unit
