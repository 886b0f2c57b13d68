"""Runs a service's Alembic migrations in its own schema; each `migrations/env.py` calls `run`."""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from importlib.resources import files

from alembic import command, context
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

OLDEST_POSTGRES = 15
"""The oldest major version of the server that the services are tested on."""


class SchemaState(Enum):
    """How a service's schema stands to the program that is to work on it."""

    ABSENT = auto()
    """It was never migrated."""
    BEHIND = auto()
    """The program has migrations that the schema has not."""
    CURRENT = auto()
    AHEAD = auto()
    """A newer program has migrated it. Schemas expand before they contract, so an older program runs on."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a program finds before it works on a database."""

    postgres: int
    """The server's major version."""
    schema: SchemaState
    revision: str | None
    """The schema's own revision."""


def standing(service: str, database_url: str) -> Standing:
    """Look how a server and one service's schema stand. Blocks; not for use inside a loop."""
    postgres, revision = asyncio.run(_look(service, database_url))
    script = ScriptDirectory.from_config(_config(service, database_url))
    if revision is None:
        schema = SchemaState.ABSENT
    elif revision in script.get_heads():
        schema = SchemaState.CURRENT
    elif revision in {one.revision for one in script.walk_revisions()}:
        schema = SchemaState.BEHIND
    else:
        schema = SchemaState.AHEAD
    return Standing(postgres, schema, revision)


def upgrade(service: str, database_url: str, revision: str = "head") -> None:
    """Bring one service's schema to a revision. Safe to repeat; blocks; not for use inside a loop."""
    command.upgrade(_config(service, database_url), revision)


def _config(service: str, database_url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(files(f"services.{service}") / "migrations"))
    config.attributes["database_url"] = database_url
    return config


async def _look(schema: str, url: str) -> tuple[int, str | None]:
    engine = _engine(url)
    try:
        async with engine.connect() as connection:
            version = await connection.scalar(text("show server_version_num"))
            migrated = await connection.scalar(
                text("select to_regclass(:name)"), {"name": f'"{schema}".alembic_version'}
            )
            revision = (
                await connection.scalar(text(f'select version_num from "{schema}".alembic_version'))
                if migrated
                else None
            )
    finally:
        await engine.dispose()
    return int(version) // 10_000, revision


def run(schema: str) -> None:
    """Do what Alembic asks of an environment script, over asyncpg."""
    asyncio.run(_run(schema, context.config.attributes["database_url"]))


async def _run(schema: str, url: str) -> None:
    engine = _engine(url, search_path=schema, lock_timeout="5000")
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


def _engine(url: str, **server_settings: str) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        poolclass=NullPool,
        connect_args={"server_settings": server_settings},
    )


def _migrate(connection: Connection, schema: str) -> None:
    context.configure(connection=connection, version_table_schema=schema)
    with context.begin_transaction():
        context.run_migrations()
