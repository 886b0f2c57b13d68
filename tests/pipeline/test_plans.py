"""A statement that came first on an empty table must not be slow for ever once the table has grown."""

import pytest
from sqlalchemy import text

from services.routing.store.chats import Chats
from shared.platform.database import Database
from tests.conftest import Migrated

pytestmark = pytest.mark.servers

PAIRS = [f"pair {n}" for n in range(500)]


async def test_the_plan_kept_for_locking_pairs_does_not_compare_every_pair_with_every_key(
    migrated: Migrated,
) -> None:
    """PostgreSQL keeps one plan from the sixth time on: of the table as it was then."""
    database = Database(await migrated("routing"), "routing", connections=1)
    async with database.transaction() as tx:
        for _ in range(10):
            await tx.execute(text("delete from pairs"))
            await Chats().lock_pairs(tx, PAIRS)
            await Chats().lock_pairs(tx, PAIRS)
        kept = await tx.execute(
            text("select name, generic_plans from pg_prepared_statements where statement like 'with locked%'")
        )
        ((name, generic_plans),) = kept
        assert generic_plans > 0
        keys = ",".join(PAIRS)
        plan = await tx.exec_driver_sql(f"explain execute \"{name}\" ('{{{keys}}}')")
        assert "= ANY" not in "\n".join(line for (line,) in plan)
    await database.close()
