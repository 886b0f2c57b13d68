import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from ops.stack import Addresses
from shared.platform import log
from shared.platform.database import Database
from tests.conftest import create_database, drop_database, unique
from tests.pipeline.builders import CountingDesk
from tests.pipeline.counting import NAME, create_schema


@pytest.fixture(autouse=True)
def _logs_as_in_production() -> None:
    log.configure("INFO", NAME)


@pytest.fixture(scope="session")
def one_database(servers: Addresses) -> Iterator[str]:
    """A database for all tests of the run that need only a schema of their own."""
    name = unique("pipeline_")
    yield asyncio.run(create_database(servers, name))
    asyncio.run(drop_database(servers, name))


@pytest.fixture
async def database(one_database: str) -> AsyncIterator[Database]:
    """The counting service's tables in a schema of its own."""
    schema = unique(NAME)
    await create_schema(one_database, schema)
    database = Database(one_database, schema)
    yield database
    await database.close()


@pytest.fixture
def desk(database: Database) -> CountingDesk:
    return CountingDesk(database)
