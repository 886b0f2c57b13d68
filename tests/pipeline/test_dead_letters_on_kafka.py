"""Paused partitions and replays on a real broker, with real processes and the operators' commands."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg
import pytest

from ops.stack import Addresses
from shared.contracts import cloudevents
from shared.contracts.event import Model
from shared.platform.clock import SystemClock
from shared.platform.limit import MOST
from tests.desk_events import a_message, an_event
from tests.pipeline.builders import ANN, BOB, INBOUND, a_note, messages, pair_of
from tests.pipeline.commands import dead_letters, dead_letters_process
from tests.pipeline.counting import GATE, MENDED, POISON, REJECT, WAIT
from tests.pipeline.installed import Counting, CountingProcess, installed, waiting_at_the_gate
from tests.pipeline.waiting import until, until_holds

pytestmark = [pytest.mark.servers, pytest.mark.long]

CLOCK = SystemClock()


@pytest.fixture
async def counting(servers: Addresses) -> AsyncIterator[Counting]:
    async with installed(servers) as counting:
        yield counting


def values(*said: Model | bytes) -> list[bytes | None]:
    return [one if isinstance(one, bytes) else cloudevents.encode(an_event(one)) for one in said]


def spread(bad: int, *, customer: str = ANN) -> list[bytes | None]:
    """A good message behind each bad record."""
    good = messages(bad, customer=customer)
    return [value for n in range(bad) for value in values(b"{", good[n])]


async def paused(counting: Counting) -> Sequence[tuple[str, int]]:
    rows = await counting.rows("select topic, partition from positions where paused_at is not null")
    return [(topic, partition) for topic, partition in rows]


async def until_not_ready(process: CountingProcess) -> dict[str, Any]:
    await until_holds(process.status, lambda status: status == 503)
    answer: dict[str, Any] = json.loads((await asyncio.to_thread(process.get, "/readyz"))[1])
    return answer


async def read_up_to(counting: Counting) -> object:
    return (
        await counting.rows("select read_up_to from positions where topic = :t and partition = 0", t=INBOUND)
    )[0][0]


async def others_are_read_up_to(counting: Counting, at: datetime) -> bool:
    # Compared by the database: to Python, what was never read up to any time has no time zone.
    rows = await counting.rows(
        "select bool_and(read_up_to >= :at) from positions where topic <> :t or partition <> 0",
        t=INBOUND,
        at=at,
    )
    return bool(rows[0][0])


async def test_partition_pauses_says_so_and_goes_on_by_command_without_a_loss(counting: Counting) -> None:
    process = await counting.start().ready()
    await counting.send(INBOUND, spread(MOST + 5), partition=0)
    told = await until_not_ready(process)
    assert [name for name, good in told["checks"].items() if not good] == ["dead_letters"]
    assert f"{INBOUND}/0 paused" in str(told["reasons"])
    assert await process.measured("partition_paused") == 1
    assert process.log.count("partition_paused") == 1

    await counting.send(INBOUND, values(*messages(3, customer=BOB)), partition=1)
    await counting.until_counted(MOST - 1 + 3)
    before = await read_up_to(counting)
    asked = CLOCK.now()
    await until_holds(lambda: others_are_read_up_to(counting, asked), bool)
    assert await read_up_to(counting) == before
    assert await counting.number("select count(*) from parked_records") == MOST

    listed = await dead_letters(counting, "list")
    assert f"counting reads no more of {INBOUND}/0" in listed.said
    resumed = await dead_letters(counting, "resume", "counting", f"{INBOUND}/0")
    assert resumed.said == f"counting reads on from {INBOUND}/0, offset {2 * MOST - 1}\n"
    await counting.until_counted(MOST + 5 + 3)
    await process.ready()
    await counting.until_settled()
    assert (await counting.counted())[pair_of(ANN)] == [f"m{n}" for n in range(1, MOST + 6)]
    assert await counting.number("select count(*) from parked_records") == MOST + 5
    assert await process.measured("partition_paused") == 0
    assert process.alive


async def test_pause_outlives_restarts_and_rebalances(counting: Counting) -> None:
    first = await counting.start().ready()
    good = values(*messages(5, word="tail"))
    await counting.send(INBOUND, spread(MOST) + good, partition=0)
    await until_not_ready(first)
    second = counting.start()
    await until_holds(lambda: second.measured("rebalances_total"), bool)
    first.kill()
    await until_not_ready(second)
    await until_holds(lambda: second.measured("partition_paused"), bool)
    third = counting.start()
    await second.stopped()
    await until_not_ready(third)
    await counting.send(INBOUND, values(*messages(1, customer=BOB)), partition=1)
    await counting.until_counted(MOST - 1 + 1)
    assert await paused(counting) == [(INBOUND, 0)]
    stands = "select next_offset from positions where topic = :t and partition = 0"
    assert await counting.number(stands, t=INBOUND) == 2 * MOST - 1
    assert await counting.number("select count(*) from parked_records") == MOST

    assert (await dead_letters(counting, "resume", "counting", INBOUND)).code == 0
    await counting.until_counted(MOST + 5 + 1)
    await counting.until_settled()
    assert (await counting.counted())[pair_of(ANN)] == [
        *(f"m{n}" for n in range(1, MOST + 1)),
        *(f"tail{n}" for n in range(1, 6)),
    ]


async def test_mended_service_replays_a_parked_key_on_command(counting: Counting) -> None:
    broken = await counting.start().ready()
    sent = [a_message(POISON, message_id="m0"), *messages(5), *messages(1, customer=BOB)]
    await counting.send(INBOUND, values(*sent), partition=0)
    await until(lambda: counting.number("select count(*) from parked_records"), at_least=6)
    again = await dead_letters(counting, "replay", "--key", pair_of(ANN), "--yes")
    assert again.code == 1
    assert (
        "failed again: counting/1 handler_failed: ValueError: nobody can decide on this, 5 wait behind it"
        in (again.said)
    )
    await broken.stopped()

    mended = await counting.start(**{MENDED: "1"}).ready()
    dry = await dead_letters(counting, "replay", "counting/1", "--dry-run")
    assert dry.said.count(f"{INBOUND}/0/") == 6
    assert "nothing was done" in dry.said
    assert await counting.number("select count(*) from parked_records") == 6
    done = await dead_letters(counting, "replay", "counting/1", answer="y\n")
    assert (done.code, done.said.splitlines()[-1]) == (0, "replayed 6 records")
    await counting.send(INBOUND, values(*messages(1, word="later")), partition=0)
    await counting.until_counted(8)
    await counting.until_settled()
    assert (await counting.counted())[pair_of(ANN)] == [f"m{n}" for n in range(6)] + ["later1"]
    assert await mended.measured("dead_letters_replayed_total") == 6
    assert (await dead_letters(counting, "list")).said == "no dead letters\n"


@asynccontextmanager
async def gate(counting: Counting) -> AsyncIterator[None]:
    """Hold the gate for as long as it takes: no timeout of the services' ends it."""
    connection = await asyncpg.connect(counting.settings.database_url)
    await connection.execute(f"select pg_advisory_lock({GATE})")
    yield
    await connection.close()


async def test_replay_killed_in_its_middle_is_done_by_the_next_process(counting: Counting) -> None:
    first = await counting.start().ready()
    sent = [a_message(POISON, message_id="m0"), a_message(WAIT, message_id="m1"), *messages(3, word="after")]
    await counting.send(INBOUND, values(*sent), partition=0)
    await until(lambda: counting.number("select count(*) from parked_records"), at_least=5)
    await first.stopped()
    async with gate(counting):
        second = await counting.start(**{MENDED: "1"}).ready()
        asked = await dead_letters_process(
            counting, "replay", "--reason", "handler_failed", "--yes", "--no-wait"
        )
        assert asked.code == 0
        await until(lambda: waiting_at_the_gate(counting), at_least=1)
        second.kill()
        assert await counting.count() == 0
        await until_holds(lambda: waiting_at_the_gate(counting), lambda waiting: waiting == 0)
    await counting.start(**{MENDED: "1"}).ready()
    await counting.until_counted(5)
    await counting.until_settled()
    assert await counting.counted() == {pair_of(ANN): ["m0", "m1", "after1", "after2", "after3"]}
    assert await counting.number("select count(*) from parked_keys") == 0


async def test_commands_show_filter_and_drop(counting: Counting) -> None:
    await counting.start().ready()
    await counting.send(
        INBOUND, values(b"{broken", a_message(REJECT, message_id="r"), a_message(POISON)), partition=0
    )
    await counting.send("tickets.v1", values(*(a_note(n, customer=BOB) for n in (1, 3, 4))), partition=0)
    await until(lambda: counting.number("select count(*) from parked_records"), at_least=5)

    listed = json.loads((await dead_letters(counting, "list", "--json")).said)["groups"]
    assert {(one["key"], one["count"], one["reason"], one["blocks_key"]) for one in listed} == {
        (f"{INBOUND}/0", 1, "broken_json", False),
        (pair_of(ANN), 1, "unwanted", False),
        (pair_of(ANN), 1, "handler_failed", True),
        (pair_of(BOB), 2, "version_gap", True),
    }
    for given, count in (
        (["--reason", "unwanted"], 1),
        (["--topic", "tickets.v1"], 1),
        (["--key", pair_of(ANN)], 2),
        (["--tenant", "acme"], 3),
        (["--since", "1h"], 4),
        (["--since", "2100-01-01T00:00:00Z"], 0),
        (["--service", "counting"], 4),
        (["--dropped"], 0),
    ):
        found = json.loads((await dead_letters(counting, "list", "--json", *given)).said)["groups"]
        assert len(found) == count, given

    name = (await dead_letters(counting, "list", "--reason", "version_gap")).said.split("\t")[5]
    shown = (await dead_letters(counting, "show", name)).said
    assert "version 2 of acme:ticket:ticket-1 has not been read" in shown
    assert "behind it  1" in shown
    assert '"note": "a note"' in shown

    dry = await dead_letters(counting, "drop", name, "--why", "a test", "--dry-run")
    assert "nothing was done" in dry.said
    refused = await dead_letters(counting, "drop", name, "--why", "a test", answer="n\n")
    assert refused.code == 1
    assert await counting.number("select count(*) from parked_records where dropped_at is not null") == 0
    dropped = await dead_letters(
        counting,
        "drop",
        "--topic",
        "tickets.v1",
        "--key",
        pair_of(BOB),
        "--why",
        "a test",
        "--by",
        "naledi",
        "--yes",
    )
    assert "dropped" in dropped.said
    rows = json.loads((await dead_letters(counting, "list", "--dropped", "--json")).said)["groups"]
    assert sum(row["count"] for row in rows) == 2
    assert (await dead_letters(counting, "drop", "counting/999", "--why", "x")).complained == (
        "there is no dead letter counting/999"
    )
    assert (await dead_letters(counting, "replay", "--yes")).code == 1
    assert (await dead_letters(counting, "resume", "counting", "tickets.v1/3")).code == 1
