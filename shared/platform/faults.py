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
        "23505",  # a partial unique index such as "one live chat per pair" saw a race: try again
        "25P03",  # idle-in-transaction timeout
        "25P04",  # transaction timeout
    }
)


class Retryable(Exception):  # noqa: N818 - the house word, beside Rejected
    """The world may heal: try the same work again after a pause."""


def is_transient(error: BaseException) -> bool:
    """Say whether trying again may succeed without anybody changing code or input."""
    return any(_heals(link) for link in _chain(error))


def _heals(error: BaseException) -> bool:
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None) or ""
        return (
            error.connection_invalidated
            or isinstance(error, InterfaceError)
            or sqlstate in _HEALING_SQLSTATES
            or sqlstate[:2] in _HEALING_SQLSTATE_CLASSES
        )
    return isinstance(
        error,
        Retryable
        | PoolTimeoutError
        | OSError
        | asyncio.TimeoutError
        # What asyncpg says of a connection that the server ended while we were frozen or busy.
        | asyncpg.InternalClientError
        | redis.exceptions.ConnectionError
        | redis.exceptions.TimeoutError,
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__
