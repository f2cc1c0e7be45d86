"""Why something is left to graphql-core."""

from __future__ import annotations


class UnsupportedError(Exception):
    """A selection that no function of the event alone can answer."""


class UnrenderableError(Exception):
    """A value that graphql-core would coerce, complain of, or resolve."""
