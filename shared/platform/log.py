"""Structured logs, one JSON object a line, without customers' numbers."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

_KEEP_START, _KEEP_END = 3, 2
_SHORTEST = _KEEP_START + _KEEP_END + 2
_NUMBER = re.compile(r"(?<![\w-])(?:\+\d{7,15}|\d{9,15})(?![\w-])")
"""A phone number: not a part of an identifier, nor a count of bytes."""


def mask(address: str) -> str:
    """Return an address fit for a log line: enough to recognise, too little to call."""
    if len(address) < _SHORTEST:
        return "…"
    return f"{address[:_KEEP_START]}…{address[-_KEEP_END:]}"


def masked(line: str) -> str:
    """Return a text with every number in it that a customer could be called by masked."""
    return _NUMBER.sub(lambda found: mask(found.group()), line)


def _mask_all(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask numbers wherever they slipped in: an error of the database, a traceback."""
    return {name: masked(value) if isinstance(value, str) else value for name, value in event.items()}


class _Masking(logging.Formatter):
    """The libraries' own log lines, masked as well."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return masked(super().format(record))


def configure(level: str, service: str) -> None:
    """Send structured logs, and the libraries' own, to standard error."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _mask_all,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)
    plain = logging.StreamHandler(sys.stderr)
    plain.setFormatter(_Masking("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[plain], force=True)
