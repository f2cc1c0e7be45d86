"""Structured logs: one line an event on standard error, JSON in production."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(*, production: bool) -> None:
    """Send structlog and the standard library's loggers through one pipeline. Call once per process."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if production
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # A logger that was cached would keep the processors of an earlier configuration.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if production else _keep,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # uvicorn installs handlers of its own; a request a line is the proxy's business.
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers[:] = []
        logging.getLogger(name).propagate = True
    logging.getLogger("uvicorn.access").disabled = True
    # A line to each poll of the queue would bury what matters.
    logging.getLogger("arq.worker").setLevel(logging.WARNING)
    # At WARNING it writes a line to each malformed form: that is between the client and us.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # At INFO it writes three lines to each WebSocket.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)


def _keep(_logger: object, _name: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    return event
