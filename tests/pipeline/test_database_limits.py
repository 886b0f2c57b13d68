"""A frozen process holds no lock for ever: the server itself ends what it left open."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.platform.database import TIMEOUT_MS, Database, append_rows
from shared.platform.faults import Retryable, is_race, is_timeout, is_transient
from tests.pipeline.builders import CountingDesk
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers

SINCE_17 = 170_000

_HOLDER = """
import asyncio, sys
from sqlalchemy import text
from shared.platform.database import Database

async def hold():
    async with Database(*sys.argv[1:]).transaction() as tx:
        await tx.execute(text("select 1 from pairs where pair_key = 'pair' for update"))
        print("holding", flush=True)
        sys.stdin.readline()

asyncio.run(hold())
"""


@pytest.mark.parametrize(
    ("setting", "limit"),
    [
        ("statement_timeout", TIMEOUT_MS),
        ("lock_timeout", TIMEOUT_MS),
        ("idle_in_transaction_session_timeout", TIMEOUT_MS),
        ("transaction_timeout", 2 * TIMEOUT_MS),
    ],
)
async def test_every_connection_has_limits(database: Database, setting: str, limit: int) -> None:
    seen = set()
    async with asyncio.TaskGroup() as tasks:
        gate = asyncio.Barrier(3)

        async def look() -> None:
            async with database.transaction() as tx:
                await gate.wait()
                found = await tx.execute(
                    text("select setting from pg_settings where name = :name"), {"name": setting}
                )
                version = await tx.execute(text("show server_version_num"))
                if setting != "transaction_timeout" or int(version.scalar_one()) >= SINCE_17:
                    seen.add(int(found.scalar_one()))

        for _ in range(3):
            tasks.create_task(look())
    assert seen <= {limit}
    assert seen or setting == "transaction_timeout"


@pytest.fixture
def holder(database: Database, one_database: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, one_database, database.schema],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


async def test_frozen_holder_of_a_lock_is_freed(database: Database, holder: "subprocess.Popen[str]") -> None:
    """Without the limits the pair would be locked until somebody finds the frozen process."""
    async with database.transaction() as tx:
        await tx.execute(text("insert into pairs values ('pair')"))
    assert holder.stdout is not None
    assert await asyncio.to_thread(holder.stdout.readline) == "holding\n"
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        asked = monotonic()

        async def locked() -> bool:
            with contextlib.suppress(DBAPIError):  # our own wait is limited as well
                async with database.transaction() as tx:
                    await tx.execute(text("select 1 from pairs where pair_key = 'pair' for update"))
                    return True
            return False

        await until_holds(locked, bool)
        assert monotonic() - asked < 3 * TIMEOUT_MS / 1000
    finally:
        os.kill(holder.pid, signal.SIGCONT)


async def failure_of(database: Database, *statements: str) -> DBAPIError:
    """Return the error with which a transaction of these statements ends."""
    with pytest.raises(DBAPIError) as raised:
        await carry_out(database, *statements)
    return raised.value


async def carry_out(database: Database, *statements: str) -> None:
    async with database.transaction() as tx:
        for statement in statements:
            await tx.execute(text(statement))


def raising(condition: str) -> str:
    return f"do $$ begin raise exception using errcode = '{condition}'; end $$"


@pytest.mark.parametrize(
    "statements",
    [
        ["select pg_terminate_backend(pg_backend_pid())"],
        ["set local statement_timeout = 1", "select pg_sleep(1)"],
        ["set local lock_timeout = 1", "lock table counters"],
        [raising("deadlock_detected")],
        [raising("serialization_failure")],
        [raising("too_many_connections")],
        [raising("cannot_connect_now")],
    ],
    ids=lambda statements: statements[-1][:60],
)
async def test_fault_of_the_world_heals(database: Database, statements: list[str]) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("lock table counters"))
        assert is_transient(await failure_of(database, *statements))


@pytest.mark.parametrize(
    "statement", ["select 1 / 0", "select * from nowhere", "insert into pairs values (null)", "no statement"]
)
async def test_fault_of_ours_does_not_heal(database: Database, statement: str) -> None:
    error = await failure_of(database, statement)
    assert not is_transient(error)
    assert not is_race(error)


async def test_violated_index_may_be_a_race(database: Database) -> None:
    assert is_race(await failure_of(database, *["insert into pairs values ('pair')"] * 2))


@pytest.mark.parametrize("turns", [0, 3], ids=["unnoticed", "noticed"])
@pytest.mark.parametrize("then", [["select 1"], []], ids=["a statement", "the commit"])
async def test_connection_the_server_ended_while_we_were_busy_is_a_fault_that_heals(
    database: Database, then: list[str], turns: int
) -> None:
    """As it is found after a freeze: what comes next on it fails in the client, in one way or another."""
    with pytest.raises(DBAPIError) as raised:
        await go_on_after_it_was_ended(database, then, turns)
    assert is_transient(raised.value), repr(raised.value)
    assert await CountingDesk(database).rows("select 1")


async def go_on_after_it_was_ended(database: Database, then: list[str], turns: int) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("set idle_in_transaction_session_timeout = 1"))
        busy_until_ended(database)
        for _ in range(turns):
            await asyncio.sleep(0)
        for statement in then:
            await tx.execute(text(statement))


TWO = [("one",), ("two",)]


async def append(database: Database, rows: Sequence[Sequence[Any]], *statements: str) -> None:
    async with database.transaction() as tx:
        for statement in statements:
            await tx.execute(text(statement))
        await append_rows(tx, "pairs", ["pair_key"], rows)


async def append_and_fail(database: Database) -> None:
    async with database.transaction() as tx:
        await append_rows(tx, "pairs", ["pair_key"], TWO)
        raise ZeroDivisionError


async def append_after_it_was_ended(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.execute(text("set idle_in_transaction_session_timeout = 1"))
        busy_until_ended(database)
        await append_rows(tx, "pairs", ["pair_key"], TWO)


async def fault_of(work: Awaitable[None]) -> Exception:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
        return error
    raise AssertionError("nothing failed")


async def test_rows_that_are_appended_first_go_with_their_transaction(database: Database) -> None:
    """SQLAlchemy begins a transaction with its first statement, and appending is none of its own."""
    assert isinstance(await fault_of(append_and_fail(database)), ZeroDivisionError)
    assert await CountingDesk(database).rows("select 1 from pairs") == []
    await append(database, TWO)
    rows = await CountingDesk(database).rows("select pair_key from pairs order by ctid")
    assert [key for (key,) in rows] == ["one", "two"]


async def test_faults_of_appending_are_told_apart_like_those_of_statements(database: Database) -> None:
    await append(database, TWO)
    assert is_race(await fault_of(append(database, TWO)))
    for ours in ([(None,)], [(1,)], [("nul \x00",)]):
        error = await fault_of(append(database, ours))
        assert not is_transient(error), repr(error)
        assert not is_race(error), repr(error)
    async with database.transaction() as holder:
        await holder.execute(text("lock table pairs"))
        late = await fault_of(append(database, TWO, "set local statement_timeout = 1"))
    assert is_transient(late), repr(late)
    assert is_timeout(late), repr(late)


async def test_appending_on_a_connection_the_server_ended_heals(database: Database) -> None:
    error = await fault_of(append_after_it_was_ended(database))
    assert is_transient(error), repr(error)
    assert await CountingDesk(database).rows("select 1")


def busy_until_ended(database: Database) -> None:
    """Keep the loop busy until the server has ended the transaction, so that nobody here hears of it."""

    async def until_gone() -> None:
        observer = Database(database._engine.url.render_as_string(hide_password=False), database.schema)
        await until_holds(lambda: idle_in(observer), lambda sessions: sessions == 0)
        await observer.close()

    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, until_gone()).result()


async def idle_in(database: Database) -> int:
    rows = await CountingDesk(database).rows(
        "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in%'"
    )
    return len(rows)


def test_a_cause_that_heals_heals_what_it_caused() -> None:
    error = ValueError("and so")
    assert not is_transient(error)
    error.__cause__ = Retryable("the world")
    assert is_transient(error)


async def test_number_of_a_customer_is_not_in_what_a_failing_statement_says(database: Database) -> None:
    number = "+27829998877"
    async with database.transaction() as tx:
        with pytest.raises(DBAPIError) as raised:
            await tx.execute(text("insert into nowhere values (:key)"), {"key": f"acme:sms:1:{number}"})
    assert number not in str(raised.value)
