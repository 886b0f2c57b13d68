"""Runs a service's Alembic migrations in its own schema; each `migrations/env.py` calls `run`."""

import asyncio
from importlib.resources import files

from alembic import command, context
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def upgrade(service: str, database_url: str, revision: str = "head") -> None:
    """Bring one service's schema to a revision. Safe to repeat; blocks; not for use inside a loop."""
    config = Config()
    config.set_main_option("script_location", str(files(f"services.{service}") / "migrations"))
    config.attributes["database_url"] = database_url
    command.upgrade(config, revision)


def run(schema: str) -> None:
    """Do what Alembic asks of an environment script, over asyncpg."""
    asyncio.run(_run(schema, context.config.attributes["database_url"]))


async def _run(schema: str, url: str) -> None:
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={"server_settings": {"search_path": schema, "lock_timeout": "5000"}},
    )
    async with engine.connect() as connection:
        # Two migrators may start at once; the loser of the race waits, then finds nothing to do.
        await connection.execute(
            text("select pg_advisory_lock(hashtext('chatdesk'), hashtext(:schema))"), {"schema": schema}
        )
        await connection.execute(text(f'create schema if not exists "{schema}"'))
        await connection.commit()
        await connection.run_sync(_migrate, schema)
        await connection.commit()
    await engine.dispose()


def _migrate(connection: Connection, schema: str) -> None:
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        context.run_migrations()
