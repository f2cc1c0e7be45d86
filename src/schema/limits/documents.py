"""Parsing, measuring and validating documents, each once: what has passed is kept by its text."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    ASTValidationRule,
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    parse,
    specified_rules,
    validate,
)
from graphql.language.parser import MAX_NESTING_DEPTH
from graphql.validation import NoSchemaIntrospectionCustomRule, OverlappingFieldsCanBeMergedRule
from graphql.validation.validate import ValidationAbortedError
from graphql.validation.validation_context import MAX_FRAGMENT_WORK
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from core.settings import Settings
from schema.limits.cost import OperationCost, Plan
from schema.limits.measure import Shape, measure
from schema.limits.merging import merging_rule
from schema.limits.refusal import Limit, LimitExceededError, hold

MAX_VALIDATION_ERRORS: Final = 5
"""Each error may print a part of the document, so their number has to be small."""
_TOKEN_BYTES: Final = 700
"""Memory that a token of a parsed document takes, about (measured: 380 to 610), its plan included."""
_TOO_MANY: Final = "Document contains more than"
_TOO_DEEP: Final = "Document is nested too deeply."
_TOO_MUCH_FRAGMENT_WORK: Final = "Validation aborted."


@dataclass(frozen=True, slots=True)
class Opened:
    """A document that may be executed, or what validation has against it."""

    document: DocumentNode
    errors: Sequence[GraphQLError]
    cost: int
    """Of the operation that was asked for."""


@dataclass(frozen=True, slots=True)
class _Known:
    document: DocumentNode
    shape: Shape
    plan: Plan
    memory: int
    """Bytes, estimated."""


class Documents:
    """The documents of one process that have passed the limits and validation, the least recently used go first.

    Nothing that was refused is kept: it would cost whoever sends it little to drive out what others use.
    """

    def __init__(self, schema: GraphQLSchema, settings: Settings, *, introspection: bool) -> None:
        self._schema = schema
        self._settings = settings
        self._suggest = introspection
        self._rules: list[type[ASTValidationRule]] = [
            merging_rule(settings.limit_merges) if rule is OverlappingFieldsCanBeMergedRule else rule
            for rule in (*specified_rules, MaybeNullValidationRule, OneOfInputValidationRule)
        ]
        if not introspection:
            self._rules.append(NoSchemaIntrospectionCustomRule)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._memory = 0

    def __len__(self) -> int:
        return len(self._known)

    def __contains__(self, text: str) -> bool:
        return text in self._known

    @property
    def memory(self) -> int:
        """Bytes that the known documents take, estimated."""
        return self._memory

    def open(self, text: str, operation_name: str | None, variables: Mapping[str, Any] | None) -> Opened:
        """The document of that text, checked for this operation (by default the first) and these variables.

        Raises `LimitExceededError`, or GraphQLSyntaxError.
        """
        known = self._known.get(text)
        if known is not None:
            self._known.move_to_end(text)
            return Opened(known.document, (), self._operation(known.shape, known.plan, operation_name, variables))
        document = self._parse(text)
        shape = measure(document, self._settings)
        if shape.cyclic:
            return Opened(document, self._validate(document), 0)
        plan = Plan(self._schema, shape)
        for (_, depth), operation in zip(shape.operations, plan.operations, strict=True):
            self._check_depth(depth, operation)
        cost = self._operation(shape, plan, operation_name, variables)
        errors = self._validate(document)
        if not errors:
            self._keep(text, _Known(document, shape, plan, 2 * len(text) + _TOKEN_BYTES * document.token_count))
        return Opened(document, errors, cost)

    def _parse(self, text: str) -> DocumentNode:
        limits = self._settings
        hold(Limit.DOCUMENT_BYTES, limits.limit_document_bytes, len(text.encode("utf-8", "surrogatepass")))
        try:
            # Comments count, too: the parser keeps them.
            return parse(text, max_tokens=limits.limit_tokens)
        except GraphQLSyntaxError as error:
            if _TOO_MANY in error.message:
                raise LimitExceededError(Limit.TOKENS, limits.limit_tokens) from None
            if _TOO_DEEP in error.message:
                raise LimitExceededError(Limit.NESTING, MAX_NESTING_DEPTH) from None
            raise

    def _check_depth(self, depth: int, operation: OperationCost) -> None:
        if operation.only_introspection:
            hold(Limit.INTROSPECTION_DEPTH, self._settings.limit_introspection_depth, depth)
        else:
            hold(Limit.DEPTH, self._settings.limit_depth, depth)

    def _operation(self, shape: Shape, plan: Plan, name: str | None, variables: Mapping[str, Any] | None) -> int:
        """What the operation of that name costs, the first one by default."""
        for (node, _), operation in zip(shape.operations, plan.operations, strict=True):
            if name is None or (node.name is not None and node.name.value == name):
                return self._check_cost(plan, operation, variables)
        return 0  # there is no such operation, which Strawberry will say

    def _check_cost(self, plan: Plan, operation: OperationCost, variables: Mapping[str, Any] | None) -> int:
        hold(Limit.INTROSPECTION_COST, self._settings.limit_introspection_cost, operation.introspection)
        cost = plan.cost(operation, variables)
        if not operation.only_introspection:
            hold(Limit.COST, self._settings.limit_cost, cost)
        return cost

    def _validate(self, document: DocumentNode) -> list[GraphQLError]:
        errors = validate(
            self._schema,
            document,
            self._rules,
            max_errors=MAX_VALIDATION_ERRORS,
            hide_suggestions=not self._suggest,
        )
        aborted = errors[-1] if errors and isinstance(errors[-1], ValidationAbortedError) else None
        if isinstance(aborted, LimitExceededError):
            raise aborted
        if aborted is not None and aborted.message == _TOO_MUCH_FRAGMENT_WORK:
            raise LimitExceededError(Limit.FRAGMENT_WORK, MAX_FRAGMENT_WORK)
        return errors

    def _keep(self, text: str, known: _Known) -> None:
        self._known[text] = known
        self._memory += known.memory
        while (
            self._memory > self._settings.document_cache_bytes
            or len(self._known) > self._settings.document_cache_entries
        ):
            self._memory -= self._known.popitem(last=False)[1].memory
