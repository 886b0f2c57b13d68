"""Copying a test's database, and putting the copy in its place as a restore from a backup does."""

import asyncpg

from ops.stack import Addresses
from tests.conftest import create_database, drop_database


async def copy(servers: Addresses, url: str, name: str) -> None:
    """Copy the database behind a URL; whoever is connected to it is cut off."""
    original = _name(url)
    await _run(
        servers,
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{original}'",
    )
    await create_database(servers, name, template=original)


async def put_back(servers: Addresses, url: str, name: str) -> None:
    """Put the copy in the place of the database, which is gone then."""
    await drop_database(servers, _name(url))
    await _run(servers, f"alter database {name} rename to {_name(url)}")


def _name(url: str) -> str:
    return url.rsplit("/", 1)[1]


async def _run(servers: Addresses, statement: str) -> None:
    connection = await asyncpg.connect(servers.database_url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
