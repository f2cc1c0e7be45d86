"""DataLoaders: keys in, rows out in the same order, one statement a batch whatever its length."""

from loaders.loaders import Loaders

__all__ = ["Loaders"]
