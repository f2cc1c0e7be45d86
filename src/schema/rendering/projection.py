"""A selection compiled to a function of the event."""

from __future__ import annotations

from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLUnionType,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution.collect_fields import FieldDetailsList, GroupedFieldSet, collect_fields, collect_subfields
from graphql.execution.executor import Executor
from strawberry.schema.schema_converter import GraphQLCoreConverter

from schema.rendering.errors import UnrenderableError, UnsupportedError
from schema.rendering.leaves import Project, leaf

_DEFINITION = GraphQLCoreConverter.DEFINITION_BACKREF
Compiled = tuple[Project, str]
"""The function, and its shape: two selections of one shape of one schema have the same result for every event."""


def compile_operation(executor: Executor[Any]) -> tuple[str, Project, str]:
    """For a subscription with one field: the key in its result, the projection of its event, and the shape of both.

    Raises `UnsupportedError`. Directives other than `@skip` and `@include` are for the caller to look for.
    """
    root = executor.schema.subscription_type
    if root is None or (executor.middleware_manager and executor.middleware_manager.middlewares):
        raise UnsupportedError
    collected = collect_fields(
        executor.schema,
        executor.fragments,
        executor.variable_values,
        root,
        executor.operation,
        executor.hide_suggestions,
    )
    if collected.new_defer_usages or len(collected.grouped_field_set) != 1:
        raise UnsupportedError
    ((key, details),) = collected.grouped_field_set.items()
    field = root.fields.get(details[0].node.name.value)
    if field is None:
        raise UnsupportedError
    project, shape = _Compiler(executor).value(field.type, details)
    return key, project, f"{key}:{shape}"


class _Compiler:
    """Goes through the types of one selection."""

    def __init__(self, executor: Executor[Any]) -> None:
        self._executor = executor

    def value(self, output_type: GraphQLOutputType, details: FieldDetailsList) -> Compiled:
        """A value that may be null, unless its type says otherwise."""
        if isinstance(output_type, GraphQLNonNull):
            project, shape = self._some(output_type.of_type, details)
            # None is of no type that a projection takes, so what must not be null is graphql-core's to complain of.
            return project, f"{shape}!"
        project, shape = self._some(output_type, details)
        return lambda value: None if value is None else project(value), shape

    def _some(self, output_type: GraphQLOutputType, details: FieldDetailsList) -> Compiled:
        if isinstance(output_type, GraphQLList):
            return self._list(output_type, details)
        if is_leaf_type(output_type):
            return leaf(output_type), output_type.name
        if is_abstract_type(output_type):
            return self._one_of(output_type, details)
        assert isinstance(output_type, GraphQLObjectType)
        value_class, project, shape = self._object(output_type, details)

        def of_class(value: Any) -> Any:
            if type(value) is not value_class:
                raise UnrenderableError
            return project(value)

        return of_class, shape

    def _list(self, output_type: GraphQLList[Any], details: FieldDetailsList) -> Compiled:
        project, shape = self.value(output_type.of_type, details)

        def items(value: Any) -> Any:
            if type(value) is not list and type(value) is not tuple:
                raise UnrenderableError
            return [project(item) for item in value]

        return items, f"[{shape}]"

    def _one_of(self, output_type: GraphQLInterfaceType | GraphQLUnionType, details: FieldDetailsList) -> Compiled:
        """By the value's class. Types that are not supported are missing: such a value is unrenderable."""
        projects: dict[type, Project] = {}
        shapes = []
        for possible in self._executor.schema.get_possible_types(output_type):
            try:
                value_class, project, shape = self._object(possible, details)
            except UnsupportedError:
                shapes.append(f"{possible.name}?")
                continue
            if value_class in projects:
                raise UnsupportedError
            projects[value_class] = project
            shapes.append(shape)
        if not projects:
            raise UnsupportedError

        def of_its_class(value: Any) -> Any:
            project = projects.get(type(value))
            if project is None:
                raise UnrenderableError
            return project(value)

        return of_its_class, f"({'|'.join(shapes)})"

    def _object(self, output_type: GraphQLObjectType, details: FieldDetailsList) -> tuple[type, Project, str]:
        fields: list[tuple[str, str, Project]] = []
        shapes = []
        for key, same in self._collect(output_type, details).items():
            name = same[0].node.name.value
            if name == "__typename":
                fields.append((key, "__class__", _constant(output_type.name)))
                shapes.append(f"{key}:__typename")
                continue
            attribute, project, shape = self._field(output_type, name, same)
            fields.append((key, attribute, project))
            shapes.append(f"{key}:{name}.{shape}")

        def project_object(value: Any) -> Any:
            return {key: project(getattr(value, attribute)) for key, attribute, project in fields}

        return _value_class(output_type), project_object, f"{output_type.name}{{{','.join(shapes)}}}"

    def _collect(self, output_type: GraphQLObjectType, details: FieldDetailsList) -> GroupedFieldSet:
        executor = self._executor
        collected = collect_subfields(
            executor.schema,
            executor.fragments,
            executor.variable_values,
            executor.operation,
            output_type,
            details,
            executor.hide_suggestions,
        )
        if collected.new_defer_usages:
            raise UnsupportedError
        return collected.grouped_field_set

    def _field(self, output_type: GraphQLObjectType, name: str, details: FieldDetailsList) -> tuple[str, Project, str]:
        """A field that graphql-core would read as an attribute: the attribute's name, and what is made of its value."""
        field = output_type.fields.get(name)
        declared: Any = field and field.extensions.get(_DEFINITION)
        if (
            field is None
            or declared is None
            or field.args
            or not declared.is_basic_field
            or declared.default_resolver is not getattr
            or not getattr(field.resolve, "_is_default", False)
        ):
            raise UnsupportedError
        project, shape = self.value(field.type, details)
        return declared.python_name, project, shape


def _value_class(output_type: GraphQLObjectType) -> type:
    """The class of the type's values: of a record, or Strawberry's own."""
    definition: Any = output_type.extensions.get(_DEFINITION)
    if definition is None or definition.is_graphql_generic:
        raise UnsupportedError
    if definition.is_type_of is None:
        return definition.origin  # type: ignore[no-any-return]
    record: type | None = getattr(definition.origin, "record", None)
    if record is None:
        raise UnsupportedError
    return record


def _constant(value: str) -> Project:
    return lambda _: value
