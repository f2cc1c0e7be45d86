"""Chat and embedding providers behind two interfaces (`providers.base`), one vendor a module."""
