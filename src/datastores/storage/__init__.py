"""Originals of documents: one interface, a folder or an S3-compatible server behind it."""
