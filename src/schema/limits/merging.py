"""graphql-core's rule for fields that are merged, with a budget.

It compares the fields of one response name pair by pair, through fragments and below merged fields, and by default
it gives up after 500,000 steps, which take up to a second.
"""

from __future__ import annotations

from typing import Any

from graphql import SelectionSetNode, ValidationContext
from graphql.validation import OverlappingFieldsCanBeMergedRule
from graphql.validation.validate import ValidationAbortedError

from schema.limits.refusal import Limit, LimitExceededError

_STEPS = 2
"""Of the rule's own budget, for a comparison of two fields."""


def merging_rule(comparisons: int) -> type[OverlappingFieldsCanBeMergedRule]:
    """The rule with so many comparisons to a document; one more ends validation with `LimitExceededError`."""

    class MergingRule(OverlappingFieldsCanBeMergedRule):
        def __init__(self, context: ValidationContext) -> None:
            super().__init__(context)
            self.rule_context.remaining_complexity_budget = _STEPS * comparisons

        def enter_selection_set(self, selection_set: SelectionSetNode, key: Any, parent: Any, *args: Any) -> None:
            try:
                super().enter_selection_set(selection_set, key, parent, *args)
            except ValidationAbortedError:
                if self.rule_context.remaining_complexity_budget >= 0:
                    raise
                raise LimitExceededError(Limit.MERGES, comparisons) from None

    return MergingRule
