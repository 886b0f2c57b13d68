"""What was put aside is handled after all, in order, once, or dropped with a name and a reason."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts import cloudevents
from shared.platform import metrics
from shared.platform.asides import Asides, Waiting, in_order
from shared.platform.outcome import Outcome, Received
from shared.platform.parking import KEEP_ALONE, Parking
from shared.platform.records import Headers, kept_headers
from shared.platform.replays import SLICE
from tests.desk_events import NOON, a_message, an_event
from tests.pipeline.builders import (
    ANN,
    BOB,
    CountingDesk,
    a_note,
    a_record,
    a_send,
    gate_of,
    messages,
    pair_of,
)
from tests.pipeline.counting import POISON, REJECT, WAIT
from tests.pipeline.replaying import ask_alone, ask_key, replays_of, settle
from tests.pipeline.waiting import until_holds

servers = pytest.mark.servers

_AT_THE_GATE = "select 1 from pg_stat_activity where wait_event = 'advisory' and datname = current_database()"
_AT_THE_KEY = (
    "select 1 from pg_stat_activity where wait_event_type = 'Lock' and wait_event <> 'advisory'"
    " and query like '%parked_keys%for update%' and datname = current_database()"
)

ORDERS = {
    "nothing": ([], []),
    "as it was parked": ([Waiting(1), Waiting(2)], [1, 2]),
    "a missing version goes first": ([Waiting(1, "t", 4), Waiting(2, "t", 5), Waiting(3, "t", 3)], [3, 1, 2]),
    "what has no version keeps its place": ([Waiting(1, "t", 4), Waiting(2), Waiting(3, "t", 3)], [3, 2, 1]),
    "each subject for itself": (
        [Waiting(1, "t", 9), Waiting(2, "c", 2), Waiting(3, "c", 1), Waiting(4, "t", 8)],
        [4, 3, 2, 1],
    ),
    "one version twice stays as it was parked": ([Waiting(1, "t", 4), Waiting(2, "t", 4)], [1, 2]),
}


@pytest.mark.parametrize(("parked", "replayed"), ORDERS.values(), ids=ORDERS.keys())
def test_order_of_a_replay(parked: list[Waiting], replayed: list[int]) -> None:
    assert [one.id for one in in_order(parked)] == replayed


async def said_of_letters(desk: CountingDesk) -> list[tuple[str, int, str | None]]:
    """Return what was said of the ends of dead letters: type, offset, who."""
    said = await desk.said("counting.dead-letters.v1")
    return [
        (event.type.split(".")[2], event.data.offset, event.data.by)
        for event in said
        if event.type != "chatdesk.dead_letter.parked.v1"
    ]


async def parked_keys(desk: CountingDesk) -> list[str]:
    return [key for (key,) in await desk.rows("select key from parked_keys order by key")]


@servers
async def test_parked_key_is_replayed_in_order_once_its_bug_is_mended(desk: CountingDesk) -> None:
    records = await desk.read(a_message(POISON, message_id="m0"), *messages(3), *messages(1, customer=BOB))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m0", "m1", "m2", "m3"], pair_of(BOB): ["m1"]}
    assert await desk.parked() == []
    assert await parked_keys(desk) == []
    assert await said_of_letters(desk) == [("replayed", one.offset, "naledi") for one in records[:4]]
    await desk.read(*messages(1, word="later"))
    assert (await desk.counted())[pair_of(ANN)][-1] == "later1"


@servers
async def test_what_was_replayed_is_a_repeat_when_it_comes_again(desk: CountingDesk) -> None:
    records = await desk.read(a_message(POISON, message_id="m0"), *messages(3))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    await desk.read(*records)
    await desk.read(*messages(3))
    assert await desk.counted() == {pair_of(ANN): ["m0", "m1", "m2", "m3"]}
    assert await desk.parked() == []


@servers
async def test_nothing_is_replayed_unasked(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON), *messages(2), a_message(REJECT, customer=BOB))
    desk.handlers.mended = True
    await settle(desk)
    assert len(await desk.parked()) == 4


@servers
async def test_replay_that_fails_again_stays_parked_and_is_counted(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON, message_id="m0"), *messages(2))
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {}
    rows = await desk.rows("select reason, attempts, asked from parked_records order by id")
    assert [tuple(row) for row in rows] == [
        ("handler_failed", 4, None),
        ("behind_parked", 1, None),
        ("behind_parked", 1, None),
    ]
    assert await said_of_letters(desk) == []


@servers
async def test_second_poison_of_a_key_keeps_what_was_replayed_before_it(desk: CountingDesk) -> None:
    """The first was put right by hand, say; the replay stops at the one that still cannot be decided on."""
    await desk.read(
        a_message(POISON, message_id="m0"),
        *messages(2),
        a_message(POISON, message_id="m3"),
        a_message(message_id="m4"),
    )
    await ask_alone(desk, "drop", reason="handler_failed")
    await settle(desk)
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2"]}
    rows = await desk.rows("select reason, dropped_at is null from parked_records order by id")
    assert [tuple(row) for row in rows] == [
        ("handler_failed", False),
        ("handler_failed", True),
        ("behind_parked", True),
    ]


@servers
async def test_long_queue_is_replayed_in_slices(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON, message_id="m0"), *messages(2 * SLICE + 50))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert (await desk.counted())[pair_of(ANN)] == [f"m{n}" for n in range(2 * SLICE + 51)]


@servers
async def test_missing_version_frees_its_key_by_itself(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(3), *messages(1), a_note(4))
    await desk.read(a_note(2))
    await settle(desk)
    assert await desk.counted() == {
        pair_of(ANN): [f"ticket-1/{n}" for n in (1, 2)] + ["m1"] + [f"ticket-1/{n}" for n in (3, 4)]
    }
    assert await parked_keys(desk) == []
    assert {by for _, _, by in await said_of_letters(desk)} == {None}


@servers
async def test_replay_over_a_gap_that_is_still_there_changes_nothing(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(3), a_note(4))
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/1"]}
    assert [reason for _, reason, _ in await desk.parked()] == ["version_gap", "behind_parked"]


@servers
async def test_gap_that_never_will_be_closed_is_passed_on_request(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(3), a_note(4), a_note(6))
    await ask_key(desk, pair_of(ANN), past_gaps=True)
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): [f"ticket-1/{n}" for n in (1, 3, 4, 6)]}
    await desk.read(a_note(7))
    assert len((await desk.counted())[pair_of(ANN)]) == 5


@servers
async def test_broken_version_that_can_be_read_by_now_closes_its_gap(desk: CountingDesk) -> None:
    """As after a deploy that knows the type: the record stood alone, and what follows waits for it."""
    note = a_record(a_note(2))
    await desk.read(a_note(1), a_record(b"{", topic="tickets.v1"), a_note(3))
    assert note.value is not None
    await desk.rows(
        "update parked_records set value = :value where reason = 'broken_json' returning 1", value=note.value
    )
    await ask_alone(desk, reason="broken_json")
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): [f"ticket-1/{n}" for n in (1, 2, 3)]}
    assert await desk.parked() == []


@servers
async def test_record_that_cannot_be_read_yet_stays(desk: CountingDesk) -> None:
    await desk.read(a_record(b"{"))
    await ask_alone(desk)
    await settle(desk)
    rows = await desk.rows("select reason, attempts, asked from parked_records")
    assert [tuple(row) for row in rows] == [("broken_json", 2, None)]


@servers
async def test_record_published_anew_meanwhile_is_not_handled_twice(desk: CountingDesk) -> None:
    message = a_record(a_message(message_id="m1"))
    assert message.value is not None
    await desk.read(a_record(b"{"))
    await desk.rows("update parked_records set value = :value returning 1", value=message.value)
    await desk.read(a_message(message_id="m1"))
    await ask_alone(desk)
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m1"]}
    assert await desk.parked() == []


@servers
async def test_rejected_event_is_replayed_alone_and_may_be_rejected_again(desk: CountingDesk) -> None:
    await desk.read(a_message(REJECT, message_id="r1"), *messages(1))
    for attempts in (2, 3):
        await ask_alone(desk)
        await settle(desk)
        rows = await desk.rows("select reason, attempts, blocks_key from parked_records")
        assert [tuple(row) for row in rows] == [("unwanted", attempts, False)]
    await desk.rows(
        "update parked_records set value = convert_to(replace(convert_from(value, 'utf8'), 'reject', 'hi'),"
        " 'utf8') returning 1"
    )
    await ask_alone(desk)
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m1", "r1"]}


@servers
async def test_event_of_a_key_that_a_rule_rejects_holds_it_up_no_more(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON, message_id="m0"), a_message(REJECT, message_id="r"), *messages(2))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m0", "m1", "m2"]}
    assert [(reason, blocks) for _, reason, blocks in await desk.parked()] == [("unwanted", False)]
    assert await parked_keys(desk) == []


@servers
async def test_reused_request_id_stays_refused(desk: CountingDesk) -> None:
    await desk.read(a_send(), a_send(said="another"))
    await ask_alone(desk)
    await settle(desk)
    assert [reason for _, reason, _ in await desk.parked()] == ["request_id_conflict"]


@servers
async def test_dropped_record_is_kept_with_who_and_why_and_said_so(desk: CountingDesk) -> None:
    (bad,) = await desk.read(a_message(POISON))
    await ask_alone(desk, "drop")
    await settle(desk)
    rows = await desk.rows(
        "select blocks_key, dropped_at is not null, asked_by, asked_why from parked_records"
    )
    assert [tuple(row) for row in rows] == [(False, True, "naledi", "a test")]
    assert await said_of_letters(desk) == [("dropped", bad.offset, "naledi")]
    await desk.read(*messages(1))
    assert await desk.counted() == {pair_of(ANN): ["m1"]}


@servers
async def test_what_waits_behind_a_dropped_event_waits_on_until_it_is_replayed(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_message(POISON), a_note(2), *messages(1))
    await ask_alone(desk, "drop", reason="handler_failed")
    await settle(desk)
    await desk.read(*messages(1, word="later"))
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/1"]}
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/1", "ticket-1/2", "m1", "later1"]}


@servers
async def test_version_that_was_dropped_leaves_no_gap(desk: CountingDesk) -> None:
    await desk.read(a_note(1), a_note(2, POISON), a_note(3))
    await ask_alone(desk, "drop", reason="handler_failed")
    await settle(desk)
    await ask_key(desk, pair_of(ANN))
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["ticket-1/1", "ticket-1/3"]}


@servers
async def test_failed_replay_leaves_no_trace(desk: CountingDesk) -> None:
    """A replay that ends in the middle is as if it had not begun, and what was asked stays asked."""
    await desk.read(a_message(POISON, message_id="m0"), *messages(3))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    handle, fails = desk.handlers.handle, iter([True])

    async def breaks(tx: AsyncConnection, batch: Sequence[Received], now: datetime) -> Outcome:
        outcome = await handle(tx, batch, now)
        if next(fails, False):
            raise ConnectionResetError("cut")
        return outcome

    desk.handlers.handle = breaks  # type: ignore[method-assign]
    with pytest.raises(ConnectionResetError):
        await settle(desk)
    assert await desk.counted() == {}
    assert len(await desk.parked()) == 4
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m0", "m1", "m2", "m3"]}


@servers
async def test_event_that_comes_during_a_replay_waits_for_it_and_follows(desk: CountingDesk) -> None:
    """Both meet at the lock of the key: it parks behind, or is handled after; it never goes in between."""
    await desk.read(a_message(POISON, message_id="m0"), a_message(WAIT, message_id="m1"))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    other = CountingDesk(desk.database)
    async with asyncio.TaskGroup() as tasks, gate_of(desk.database):
        replay = tasks.create_task(replays_of(desk).once())
        await until_holds(lambda: desk.rows(_AT_THE_GATE), bool)
        late = tasks.create_task(other.read(*messages(1, word="late")))
        await until_holds(lambda: desk.rows(_AT_THE_KEY), bool)
        assert not replay.done()
        assert not late.done()
    assert await desk.counted() == {pair_of(ANN): ["m0", "m1", "late1"]}
    assert await desk.parked() == []
    assert await parked_keys(desk) == []


@servers
async def test_replays_and_new_events_of_many_workers_keep_every_key_in_order(desk: CountingDesk) -> None:
    """Four readers, each with customers of its own as Kafka deals them out, and two replaying processes."""
    customers = [f"+2784000{n:04}" for n in range(8)]
    await desk.read(*(a_message(POISON, customer=c, message_id=f"{c}/0") for c in customers))
    workers = [CountingDesk(desk.database) for _ in range(6)]
    for worker in workers:
        worker.handlers.mended = True
    readers = workers[:4]
    done = asyncio.Event()

    async def publish(worker: CountingDesk, mine: Sequence[str]) -> None:
        for n in range(1, 31):
            await worker.read(*(a_message(customer=c, message_id=f"{c}/{n}") for c in mine))

    async def replay(worker: CountingDesk) -> None:
        while not done.is_set():
            for customer in customers:
                await ask_key(worker, pair_of(customer))
            await replays_of(worker).once()

    async with asyncio.TaskGroup() as tasks:
        for worker in workers[4:]:
            tasks.create_task(replay(worker))
        async with asyncio.TaskGroup() as publishing:
            for n, worker in enumerate(readers):
                publishing.create_task(publish(worker, customers[2 * n : 2 * n + 2]))
        done.set()
    for customer in customers:
        await ask_key(desk, pair_of(customer))
    await settle(workers[0])
    assert await desk.counted() == {pair_of(c): [f"{c}/{n}" for n in range(31)] for c in customers}
    assert await parked_keys(desk) == []


@servers
async def test_original_is_kept_whole_so_that_headers_and_size_do_not_matter(desk: CountingDesk) -> None:
    """In binary mode the event's head is in its headers; its data may be far above what a letter carries."""
    event = an_event(a_message("x" * 60_000, message_id="m1"))
    whole = json.loads(cloudevents.encode(event))
    head = [(f"ce_{name}", str(value).encode()) for name, value in whole.items() if name != "data"]
    headers: Headers = (("odd", b"\xff\x00"), ("null", None), *head, ("content-type", b"application/json"))
    body = json.dumps(whole["data"] | {"padding": "y" * 900_000}).encode()
    bad = a_record(body, topic="inbound-messages.v1", headers=headers[:2])
    await desk.read(bad)
    async with desk.database.transaction() as tx:
        await tx.execute(
            text("update parked_records set headers = cast(:headers as jsonb)"),
            {"headers": kept_headers(headers)},
        )
        (one,) = await Asides().load(tx, [1])
    assert one.record.headers == headers
    assert one.record.value == body
    await ask_alone(desk)
    await settle(desk)
    assert await desk.counted() == {pair_of(ANN): ["m1"]}


@servers
async def test_what_stands_alone_is_forgotten_after_thirty_days_and_a_parked_key_never(
    desk: CountingDesk,
) -> None:
    await desk.read(a_record(b"{"), a_message(POISON), a_message(customer=BOB, message_id="ok"))
    parking = Parking()
    for passed, left in ((KEEP_ALONE, 2), (KEEP_ALONE + timedelta(seconds=1), 1), (10 * KEEP_ALONE, 1)):
        async with desk.database.transaction() as tx:
            await parking.forget_alone(tx, NOON + passed, 10)
        assert len(await desk.parked()) == left
    assert [blocks for _, _, blocks in await desk.parked()] == [True]


@servers
async def test_dropped_record_is_kept_for_thirty_days_from_then(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON))
    desk.clock.pass_time(40 * 86_400)
    await ask_alone(desk, "drop")
    await settle(desk)
    for passed, left in ((40, 1), (69, 1), (71, 0)):
        async with desk.database.transaction() as tx:
            await Parking().forget_alone(tx, NOON + timedelta(days=passed), 10)
        assert len(await desk.parked()) == left


@servers
async def test_how_much_waits_and_since_when_is_measured(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON), *messages(2), a_message(POISON, customer=BOB, message_id="p"))
    desk.clock.pass_time(90)
    await replays_of(desk)._measure()
    assert metrics.PARKED_KEYS._value.get() == 2
    assert metrics.PARKED_OLDEST_SECONDS._value.get() == 90


@servers
async def test_record_that_is_read_at_last_and_rejected_then_is_no_repeat_of_itself(
    desk: CountingDesk,
) -> None:
    rejected = a_record(a_message(REJECT, message_id="r1"))
    assert rejected.value is not None
    await desk.read(a_record(b"{"))
    await desk.rows("update parked_records set value = :value returning 1", value=rejected.value)
    for attempts in (2, 3):
        await ask_alone(desk)
        await settle(desk)
        rows = await desk.rows("select reason, attempts from parked_records")
        assert [tuple(row) for row in rows] == [("unwanted", attempts)]


@servers
@pytest.mark.long  # waits for two lock timeouts of the server
async def test_key_that_takes_too_long_holds_up_no_other(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON), a_message(WAIT), a_message(POISON, message_id="b", customer=BOB))
    desk.handlers.mended = True
    await ask_key(desk, pair_of(ANN))
    await ask_key(desk, pair_of(BOB))
    async with gate_of(desk.database):
        with pytest.raises(DBAPIError):
            await replays_of(desk).once()
        assert (await desk.counted())[pair_of(BOB)] == ["b"]
    await settle(desk)
    assert len((await desk.counted())[pair_of(ANN)]) == 2


class AsidesThatBreak(Asides):
    async def mark_dropped(self, tx: AsyncConnection, row_id: int, now: datetime) -> None:
        raise RuntimeError(f"a bug at {row_id} on {now} in {tx}")


@servers
async def test_record_whose_drop_raises_counts_a_try_and_ends_nothing(desk: CountingDesk) -> None:
    await desk.read(a_message(REJECT))
    await ask_alone(desk, "drop", reason="unwanted")
    replays = replays_of(desk)
    replays._asides = AsidesThatBreak()
    assert await replays.once()
    rows = await desk.rows("select reason, attempts, asked, dropped_at from parked_records")
    assert [tuple(row) for row in rows] == [("drop_failed", 2, None, None)]
