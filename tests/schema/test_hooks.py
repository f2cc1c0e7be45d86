"""The private hooks of Strawberry and graphql-core that we stand on: an upgrade that moves one must fail here."""

from __future__ import annotations

import inspect

import graphql.validation.specified_rules
import pytest
from graphql import GraphQLObjectType, GraphQLSyntaxError, OverlappingFieldsCanBeMergedRule, parse, validate
from graphql.execution import executor, map_source_to_response_event
from graphql.execution.collect_fields import collect_fields, collect_subfields
from graphql.language.parser import MAX_NESTING_DEPTH
from graphql.validation import validation_context
from graphql.validation.validate import ValidationAbortedError
from strawberry.asgi import GraphQL
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema import _run_validation as run_validation
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler, Operation
from strawberry.types import ExecutionContext

from app.graphql import ColloquyGraphQL
from app.sockets import WebSocketHandler
from schema.execution import ColloquySchema
from schema.executor import DiscreetExecutor, Executor
from schema.limits.merging import merging_rule
from schema.limits.refusal import LimitExceededError
from schema.root import make_schema


def test_executors_are_built_for_each_event_and_carry_the_cache_that_we_empty() -> None:
    assert Executor.build_per_event_executor is not StrawberryGraphQLCoreExecutionContext.build_per_event_executor
    assert "payload" in inspect.signature(StrawberryGraphQLCoreExecutionContext.build_per_event_executor).parameters
    assert "_relevant_sub_fields" in inspect.getsource(executor)


def test_a_subscription_shows_its_events_to_the_executor_before_the_first_is_taken() -> None:
    assert Executor.cancellable_iterable is not StrawberryGraphQLCoreExecutionContext.cancellable_iterable
    assert "executor.cancellable_iterable(source_event_stream)" in inspect.getsource(map_source_to_response_event)


def test_fields_are_collected_and_told_apart_by_what_the_renderers_rely_on() -> None:
    for collect, last in ((collect_fields, "operation"), (collect_subfields, "field_details_list")):
        given = list(inspect.signature(collect).parameters)
        assert given[:3] == ["schema", "fragments", "variable_values"]
        assert last in given
        assert "hide_suggestions" in given
    schema = make_schema()._schema
    delta, completed = (schema.type_map[name] for name in ("AnswerDelta", "AnswerCompleted"))
    assert isinstance(delta, GraphQLObjectType)
    assert isinstance(completed, GraphQLObjectType)
    assert delta.fields["text"].resolve._is_default  # type: ignore[union-attr]
    assert not completed.fields["answer"].resolve._is_default  # type: ignore[union-attr]
    assert schema.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]._schema is schema


def test_an_operation_that_has_been_completed_sends_nothing() -> None:
    assert "if self.completed:" in inspect.getsource(Operation.send_operation_message)


def test_the_executor_has_the_methods_that_we_override() -> None:
    for name in ("complete_list_value", "complete_awaitable_value", "complete_leaf_value", "execute_fields"):
        assert getattr(Executor, name) is not getattr(StrawberryGraphQLCoreExecutionContext, name)
        assert f"self.{name}(" in inspect.getsource(executor) or f"self.{name}\n" in inspect.getsource(executor)


def test_the_executor_is_run_by_the_method_that_we_wrap() -> None:
    assert "serially" in inspect.signature(StrawberryGraphQLCoreExecutionContext.execute_operation).parameters


def test_errors_of_every_kind_of_operation_pass_the_method_that_masks_them() -> None:
    assert ColloquySchema.process_errors is not Schema.process_errors
    source = inspect.getsource(Schema)
    assert "_process_errors" in source
    assert inspect.getsource(Schema._handle_execution_result).count("self._process_errors(") == 1


def test_the_socket_handler_has_the_methods_that_we_override() -> None:
    for name in (
        "handle_subscribe",
        "run_operation",
        "cleanup_operation",
        "handle",
        "handle_message",
        "handle_connection_init",
        "handle_ping",
        "handle_task_exception",
        "forget_id",
        "shutdown",
        "_get_pre_execution_close_reason",
    ):
        assert getattr(BaseGraphQLTransportWSHandler, name) is not getattr(WebSocketHandler, name)
    assert "self.context" in inspect.getsource(BaseGraphQLTransportWSHandler.run_operation)


def test_the_view_has_the_classes_that_we_replace() -> None:
    for name in ("graphql_transport_ws_handler_class", "request_adapter_class", "websocket_adapter_class"):
        assert getattr(GraphQL, name) is not getattr(ColloquyGraphQL, name)


def test_every_asynchronous_operation_is_prepared_by_the_method_that_holds_it_to_its_limits() -> None:
    assert ColloquySchema._prepare_operation_async is not Schema._prepare_operation_async
    for method in (Schema.execute, Schema._stream):
        assert inspect.getsource(method).count("self._prepare_operation_async(") == 1
    # What we have parsed and validated is not parsed and validated again.
    assert "graphql_document is not None" in inspect.getsource(inspect.getmodule(Schema)._parse_operation_document)  # type: ignore[union-attr]
    assert "pre_execution_errors is None" in inspect.getsource(run_validation)


def test_the_context_knows_whether_an_operation_was_named() -> None:
    assert "_provided_operation_name" in inspect.getsource(ExecutionContext.operation_name.fget)  # type: ignore[attr-defined]


def test_the_executor_is_built_by_the_method_that_keeps_suggestions_out() -> None:
    assert "hide_suggestions" in inspect.signature(StrawberryGraphQLCoreExecutionContext.build).parameters
    assert DiscreetExecutor.build.__func__ is not Executor.build.__func__


def test_results_one_after_another_become_a_response_in_the_method_that_we_override() -> None:
    assert ColloquyGraphQL._create_streaming_response is not GraphQL._create_streaming_response
    source = inspect.getsource(GraphQL.run)
    assert "isinstance(result, SubscriptionExecutionResult)" in source
    assert "self._create_streaming_response(" in source


def test_the_parser_says_in_these_words_that_a_document_is_too_long_or_too_deep() -> None:
    with pytest.raises(GraphQLSyntaxError, match="Document contains more than 3 tokens"):
        parse("{ a b }", max_tokens=3)
    with pytest.raises(GraphQLSyntaxError, match="Document contains more than 3 tokens"):
        parse("# a\n" * 4 + "{ a }", max_tokens=3)
    depth = MAX_NESTING_DEPTH + 1
    with pytest.raises(GraphQLSyntaxError, match=r"Document is nested too deeply\."):
        parse("{a" * depth + "}" * depth)


def test_the_merging_rule_has_a_budget_that_a_subclass_can_set() -> None:
    assert OverlappingFieldsCanBeMergedRule in graphql.validation.specified_rules
    schema = make_schema()._schema
    document = parse("{ " + "viewer { user { id } } " * 10 + "}")
    assert validate(schema, document, [merging_rule(1_000)]) == []
    (error,) = validate(schema, document, [merging_rule(10)])
    assert isinstance(error, LimitExceededError)


def test_validation_that_gives_up_on_fragments_says_so_in_these_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation_context, "MAX_FRAGMENT_WORK", 1)
    document = parse(
        "query A { ...F } query B { ...F } fragment F on Query { ...G } fragment G on Query { __typename }"
    )
    error = validate(make_schema()._schema, document)[-1]
    assert isinstance(error, ValidationAbortedError)
    assert error.message == "Validation aborted."
