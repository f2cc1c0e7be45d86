"""The object types, each backed by a record."""
