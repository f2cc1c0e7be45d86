"""Sending mail: to an SMTP server, or in the embedded product to a folder. Callers write to the outbox instead."""
