"""Log lines by structlog, also those of the libraries: JSON for machines, text for a terminal."""

import asyncio
import logging
import sys
from typing import Literal

import structlog


def configure_logs(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Sets up structlog and routes the standard library's loggers through it. Lines go to standard error."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if text else "iso", utc=not text),
    ]
    if not text:
        shared.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Loggers are the modules': one that kept its first set-up would ignore every later one in its process.
        cache_logger_on_first_use=False,
    )
    renderer = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_without_idle_tracebacks)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # The libraries' chatter is a warning or nothing: requests are logged once, by the edge.
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "cassandra", "pymongo", "asyncio", "websockets"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    # These warn of what a client sent, part by part, and quote it: anybody could fill the log.
    for name in ("opentelemetry.trace", "opentelemetry.baggage"):
        logging.getLogger(name).setLevel(max(number, logging.ERROR))


def _without_idle_tracebacks(record: logging.LogRecord) -> bool:
    """A driver's traceback of a host that is away says no more than its message, and neither does the server's of a client's bytes that are no UTF-8."""
    if record.name.startswith("cassandra") or str(record.msg).startswith("Invalid UTF-8"):
        record.exc_info = None
    # Requests that are broken off when the server stops: it says how many they are.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
