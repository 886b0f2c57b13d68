"""Structured logs, one JSON object a line, without customers' numbers."""

import logging
import sys

import structlog

_KEEP_START, _KEEP_END = 3, 2
_SHORTEST = _KEEP_START + _KEEP_END + 2


def mask(address: str) -> str:
    """Return an address fit for a log line: enough to recognise, too little to call."""
    if len(address) < _SHORTEST:
        return "…"
    return f"{address[:_KEEP_START]}…{address[-_KEEP_END:]}"


def configure(level: str, service: str) -> None:
    """Send structured logs, and the libraries' own, to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
