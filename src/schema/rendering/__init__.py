"""Events rendered without an execution: once for each shape of selection, whoever and however many have asked for it.

A selection is compiled to a function from an event to JSON, by graphql-core's own collecting of fields. Whatever that
function cannot do exactly as graphql-core would (a field with a resolver, a value of another type) is left to
graphql-core: a whole operation, or the one event.
"""
