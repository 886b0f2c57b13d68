"""Statements are planned for the rows and values at hand, however the table was when they came first."""

import pytest
from sqlalchemy import text

from shared.platform.database import Database

pytestmark = pytest.mark.servers

KEYS = {"pairs": [f"pair {n}" for n in range(500)]}
LOCKS = text("select pair_key from pairs where pair_key = any(cast(:pairs as text[])) for update")


async def test_a_statement_that_came_first_on_an_empty_table_is_planned_anew(database: Database) -> None:
    """PostgreSQL would keep one plan from the sixth time on: of an empty table, a scan of all there is."""
    async with database.transaction() as tx:
        for _ in range(10):
            await tx.execute(LOCKS, KEYS)
        await tx.execute(text("insert into pairs select 'pair ' || n from generate_series(1, 20000) as n"))
        await tx.execute(LOCKS, KEYS)
        kept = await tx.execute(
            text("select sum(generic_plans) from pg_prepared_statements where statement like '%for update'")
        )
        assert kept.scalar() == 0
