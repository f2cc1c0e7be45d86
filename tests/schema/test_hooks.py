"""The private hooks of Strawberry and graphql-core that we stand on: an upgrade that moves one must fail here."""

from __future__ import annotations

import inspect

from graphql.execution import executor
from strawberry.asgi import GraphQL
from strawberry.schema.schema import Schema, StrawberryGraphQLCoreExecutionContext
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler

from app.graphql import ColloquyGraphQL
from app.sockets import WebSocketHandler
from schema.execution import ColloquySchema, Executor


def test_executors_are_built_for_each_event_and_carry_the_cache_that_we_empty() -> None:
    assert Executor.build_per_event_executor is not StrawberryGraphQLCoreExecutionContext.build_per_event_executor
    assert "payload" in inspect.signature(StrawberryGraphQLCoreExecutionContext.build_per_event_executor).parameters
    assert "_relevant_sub_fields" in inspect.getsource(executor)


def test_the_executor_is_run_by_the_method_that_we_wrap() -> None:
    assert "serially" in inspect.signature(StrawberryGraphQLCoreExecutionContext.execute_operation).parameters


def test_errors_of_every_kind_of_operation_pass_the_method_that_masks_them() -> None:
    assert ColloquySchema.process_errors is not Schema.process_errors
    source = inspect.getsource(Schema)
    assert "_process_errors" in source
    assert inspect.getsource(Schema._handle_execution_result).count("self._process_errors(") == 1


def test_the_socket_handler_has_the_methods_that_we_override() -> None:
    for name in (
        "run_operation",
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
