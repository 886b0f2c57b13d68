"""Keys place, they don't prove: one pair read by two consumers at once stays one pair.

Each test runs the law and its removal side by side: two batches of one pair, the second beginning while
the first still holds its transaction open.
"""

import asyncio

import pytest
from sqlalchemy import text

from shared.platform.database import Database
from shared.platform.journal import Journal, OutboxRow
from shared.platform.letters import lane_of
from tests.desk_events import NOON, a_message
from tests.pipeline.builders import CountingDesk, gate_of
from tests.pipeline.counting import WAIT, Locking
from tests.pipeline.waiting import until

pytestmark = pytest.mark.servers


async def versions_of_two_at_once(database: Database, locking: Locking) -> list[int]:
    """Let two consumers count a message each of one known pair, overlapping. Returns the versions said."""
    desks = [CountingDesk(database, locking=locking) for _ in range(2)]
    await desks[0].read(a_message("the pair's first"))
    async with gate_of(database):
        first = asyncio.create_task(desks[0].read(a_message(WAIT)))
        await until(lambda: waiters(database, "advisory"), at_least=1)
        second = asyncio.create_task(desks[1].read(a_message(WAIT)))
        await until(lambda: waiters(database), at_least=2)
    await asyncio.gather(first, second)
    return sorted(event.data.version for event in await desks[0].said())


async def waiters(database: Database, kind: str = "") -> int:
    """Count the transactions of this database that wait for a lock now."""
    async with database.transaction() as tx:
        found = await tx.execute(
            text(
                "select count(*) from pg_stat_activity where datname = current_database()"
                " and wait_event_type = 'Lock' and wait_event like :kind || '%'"
            ),
            {"kind": kind},
        )
        return int(found.scalar_one())


@pytest.mark.parametrize(
    ("locking", "versions"),
    [
        (Locking.BEFORE_READING, [1, 2, 3]),
        (Locking.WHILE_READING, [1, 2, 2]),
        (Locking.NOT_AT_ALL, [1, 2, 2]),
    ],
)
async def test_versions_have_no_gap_only_if_the_pair_is_locked_before_it_is_read(
    database: Database, locking: Locking, versions: list[int]
) -> None:
    assert await versions_of_two_at_once(database, locking) == versions


async def test_many_partitions_and_two_consumers_count_every_message_of_a_pair_once(
    database: Database,
) -> None:
    desks = [CountingDesk(database), CountingDesk(database)]
    sent = [[a_message(message_id=f"{reader}-{n}") for n in range(60)] for reader in range(2)]
    twice = [a_message(message_id=f"both-{n}") for n in range(20)]
    for start in range(0, 60, 20):
        await asyncio.gather(
            *(desk.read(*mine[start : start + 20], *twice) for desk, mine in zip(desks, sent, strict=True))
        )
    ((counted),) = (await desks[0].counted()).values()
    assert sorted(counted) == sorted(
        [f"{reader}-{n}" for reader in range(2) for n in range(60)] + [f"both-{n}" for n in range(20)]
    )
    assert [event.data.message_id for event in await desks[0].said()] == counted


@pytest.mark.parametrize("locked_first", [True, False])
async def test_outbox_ids_follow_commits_only_if_the_key_was_locked_first(
    database: Database, *, locked_first: bool
) -> None:
    """A lane sends what it sees in id order; without the key's lock an earlier id may appear later."""
    journal, sent = Journal(), list[str]()

    async def say(said: str, may_commit: asyncio.Event, wrote: asyncio.Event) -> None:
        async with database.transaction() as tx:
            await tx.execute(text("insert into pairs values ('pair') on conflict do nothing"))
            if locked_first:
                await tx.execute(text("select 1 from pairs where pair_key = 'pair' for update"))
            await journal.say(tx, [OutboxRow(lane_of("pair"), "chats.v1", "pair", said.encode())], NOON)
            wrote.set()
            await may_commit.wait()

    async def drain() -> None:
        async with database.transaction() as tx:
            rows = await tx.execute(
                text(
                    "with gone as (delete from outbox returning id, value) select value from gone order by id"
                )
            )
            sent.extend(bytes(value).decode() for (value,) in rows)

    async with database.transaction() as tx:
        await tx.execute(text("insert into pairs values ('pair')"))
    wrote, may_commit, now = asyncio.Event(), asyncio.Event(), asyncio.Event()
    now.set()
    slow = asyncio.create_task(say("slow", may_commit, wrote))
    await wrote.wait()
    quick = asyncio.create_task(say("quick", now, asyncio.Event()))
    if locked_first:
        await until(lambda: waiters(database), at_least=1)
    else:
        await quick
    await drain()
    may_commit.set()
    await asyncio.gather(slow, quick)
    await drain()
    assert sent == (["slow", "quick"] if locked_first else ["quick", "slow"])
