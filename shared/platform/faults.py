"""Which errors may heal by themselves. Everything else is a bug, and ends as a parked record."""

import asyncio
from collections.abc import Iterator

import asyncpg
import redis.exceptions
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

_HEALING_SQLSTATE_CLASSES = ("08", "40", "53", "55", "57", "58")
"""Connection, rollback (deadlock, serialization), resources, object in use, operator, system error."""

_HEALING_SQLSTATES = frozenset(
    {
        "25P03",  # idle-in-transaction timeout
        "25P04",  # transaction timeout
    }
)
_TIMEOUT_SQLSTATES = frozenset({"57014", "55P03", "25P04"})
"""Statement, lock and transaction timeout: the work may be too much for one transaction."""

_RACE_SQLSTATE = "23505"
"""A unique index such as "one open chat per pair" saw a race."""

_ABOUT_FILES = (FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError, FileExistsError)
"""Errors of the operating system that are no trouble of a connection, and do not heal."""


class Retryable(Exception):  # noqa: N818 - the house word, beside Rejected
    """The world may heal: try the same work again after a pause."""


def is_transient(error: BaseException) -> bool:
    """Say whether trying again may succeed without anybody changing code or input."""
    return any(_heals(link) for link in _chain(error))


def is_timeout(error: BaseException) -> bool:
    """Say whether the work took too long, so that half of it may succeed where the whole does not."""
    return any(
        isinstance(link, asyncio.TimeoutError) or _sqlstate(link) in _TIMEOUT_SQLSTATES
        for link in _chain(error)
    )


def is_race(error: BaseException) -> bool:
    """Say whether a unique index turned the work away: it heals when it was a race, and not when a bug."""
    return any(_sqlstate(link) == _RACE_SQLSTATE for link in _chain(error))


def _sqlstate(error: BaseException) -> str:
    told = error.orig if isinstance(error, DBAPIError) else error
    return getattr(told, "sqlstate", None) or ""


def _heals(error: BaseException) -> bool:
    if isinstance(error, (*_ABOUT_FILES, asyncpg.DataError)):
        return False
    sqlstate = _sqlstate(error)
    if sqlstate in _HEALING_SQLSTATES or sqlstate[:2] in _HEALING_SQLSTATE_CLASSES:
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(
        error,
        Retryable
        | InterfaceError
        | asyncpg.InterfaceError
        | PoolTimeoutError
        | OSError
        | asyncio.TimeoutError
        | redis.exceptions.ConnectionError
        | redis.exceptions.TimeoutError,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
