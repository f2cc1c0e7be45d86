"""Passages that say the same again must not take all the places: editions of one paper, a clause in every contract."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from datastores.passages import Candidate

REPEATS_WITHIN = 0.1
"""Of the model's distance limit: two passages that are nearer to each other say the same. As a part of the limit,
because distances mean something else in each vector space (0.09 in the local one: a cosine of 0.91)."""


def repeats_last(candidates: Sequence[Candidate], max_distance: float) -> list[Candidate]:
    """Those that repeat a better one behind all that do not, both in the order given.

    They stay: where two editions differ in one number, and nothing else speaks of it, both are to be read.
    Time grows with the square of their number, which retrieval bounds.
    """
    if not candidates:
        return []
    vectors = np.stack([candidate.vector for candidate in candidates])
    # Half precision leaves a length of nearly 1; what has no length at all is nobody's repeat.
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.where(lengths > 0, lengths, 1.0)
    repeats = 1.0 - directions @ directions.T <= REPEATS_WITHIN * max_distance
    first: list[int] = []
    later: list[int] = []
    for place in range(len(candidates)):
        (later if repeats[place, first].any() else first).append(place)
    return [candidates[place] for place in first + later]
