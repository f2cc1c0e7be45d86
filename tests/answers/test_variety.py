"""Repeats come last."""

from __future__ import annotations

from uuid import uuid4

import numpy as np
import pytest

from answers.variety import REPEATS_WITHIN, repeats_last
from datastores.passages import Candidate
from datastores.records import PassageRecord


def candidate(name: str, *vector: float) -> Candidate:
    record = PassageRecord(uuid4(), uuid4(), name, None, name, 0, 0, 0.1, 1.0)
    return Candidate(record, np.array(vector, dtype=np.float32))


def names(candidates: list[Candidate]) -> list[str]:
    return [one.passage.document_name for one in candidates]


def test_what_repeats_a_better_one_comes_behind_all_that_do_not() -> None:
    given = [
        candidate("first", 1, 0, 0),
        candidate("first again", 0.999, 0.04, 0),
        candidate("second", 0, 1, 0),
        candidate("second again", 0, 2, 0),
        candidate("third", 0.7, 0.7, 0),
    ]
    assert names(repeats_last(given, 0.9)) == ["first", "second", "third", "first again", "second again"]


@pytest.mark.parametrize(("limit", "repeats"), [(0.9, True), (0.5, False)])
def test_how_near_a_repeat_is_depends_on_the_model_s_limit(limit: float, repeats: bool) -> None:
    distance = 0.07
    assert (distance <= REPEATS_WITHIN * limit) is repeats
    near = candidate("near", 1 - distance, float(np.sqrt(1 - (1 - distance) ** 2)))
    given = [candidate("first", 1, 0), near, candidate("other", -1, 0)]
    assert names(repeats_last(given, limit)) == (["first", "other", "near"] if repeats else ["first", "near", "other"])


def test_nothing_and_what_has_no_direction_are_no_trouble() -> None:
    assert repeats_last([], 0.9) == []
    assert names(repeats_last([candidate("a", 0, 0), candidate("b", 0, 0)], 0.9)) == ["a", "b"]
