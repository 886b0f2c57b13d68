from collections.abc import AsyncIterator

import pytest

from shared.platform.database import Database
from tests.pipeline.builders import CountingDesk
from tests.pipeline.counting import NAME, create_schema


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The counting service's schema in a database of its own."""
    await create_schema(database_url)
    database = Database(database_url, NAME)
    yield database
    await database.close()


@pytest.fixture
def desk(database: Database) -> CountingDesk:
    return CountingDesk(database)
