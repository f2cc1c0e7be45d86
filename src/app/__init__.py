"""Wiring: the web application, the worker, the command line, and the servers that `make run` brings along."""
