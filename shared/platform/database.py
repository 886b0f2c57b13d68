"""PostgreSQL as every service uses it: its own schema, short timeouts, one transaction per batch."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

TIMEOUT_MS = 5_000
"""A frozen process must not hold locks for ever (docs/pipeline.md, 2): the server ends what it left open."""

_SERVER_SETTINGS = {
    "application_name": "chatdesk",
    "statement_timeout": str(TIMEOUT_MS),
    "lock_timeout": str(TIMEOUT_MS),
    "idle_in_transaction_session_timeout": str(TIMEOUT_MS),
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "jit": "off",
}
_TRANSACTION_TIMEOUT_SINCE = 170_000


class Database:
    """One service's schema in one database."""

    def __init__(self, url: str, schema: str, *, connections: int = 12) -> None:
        self.schema = schema
        self._engine: AsyncEngine = create_async_engine(
            make_url(url).set(drivername="postgresql+asyncpg"),
            pool_size=connections,
            max_overflow=0,
            hide_parameters=True,  # they hold customers' numbers, and errors go to logs
            pool_timeout=10,
            connect_args={
                "timeout": 5,
                "command_timeout": 2 * TIMEOUT_MS / 1000,
                "server_settings": {
                    **_SERVER_SETTINGS,
                    "application_name": f"chatdesk-{schema}",
                    "search_path": schema,
                },
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Open a transaction; commit at the end of the block, roll back when it raises."""
        async with self._engine.connect() as connection:
            await _limit_transaction(connection)
            async with connection.begin():
                yield connection

    async def answers(self) -> bool:
        """Say whether the database answers a trivial query now."""
        try:
            async with self._engine.connect() as connection:
                await connection.execute(text("select 1"))
        except Exception:  # noqa: BLE001 - any failure means the same to a readiness probe
            return False
        return True

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


async def append_rows(
    tx: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Append rows in their order with ``COPY``, which costs both sides less than arrays in a statement.

    Faults are asyncpg's own errors (`shared.platform.faults` knows them), not SQLAlchemy's.
    """
    driver: Any = (await tx.get_raw_connection()).driver_connection
    if not driver.is_in_transaction():  # SQLAlchemy begins it with the first statement only
        await tx.execute(text("select 1"))
    await driver.copy_records_to_table(table, columns=columns, records=rows)


async def _limit_transaction(connection: AsyncConnection) -> None:
    """Set the transaction timeout once per connection, where the server knows it (PostgreSQL 17)."""
    known: dict[Any, Any] = (await connection.get_raw_connection()).info
    if known.get("transaction_limited"):
        return
    version = (await connection.execute(text("show server_version_num"))).scalar_one()
    if int(version) >= _TRANSACTION_TIMEOUT_SINCE:
        await connection.execute(text(f"set transaction_timeout = {2 * TIMEOUT_MS}"))
    await connection.commit()
    known["transaction_limited"] = True
