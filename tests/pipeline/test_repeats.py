"""Each message has its effect once, however often, by whom and in whatever batch it is read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.event import Model
from shared.platform.database import Database
from shared.platform.journal import KEEP_SEEN
from tests.desk_events import NOON, an_event
from tests.pipeline.builders import ANN, CountingDesk, a_record, a_send, messages, pair_of

pytestmark = pytest.mark.servers

M1, M2 = messages(2)
_COLUMNS = "digest bytea, body bytea, seen_at timestamptz, primary key (digest, seen_at)"
_PART_OF = "partition of processed_events for values from"


async def test_message_repeated_within_a_batch_counts_once(desk: CountingDesk) -> None:
    await desk.read(M1, M2, M1, M1)
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2"]}


async def test_message_repeated_in_a_later_batch_counts_once(desk: CountingDesk) -> None:
    await desk.read(M1)
    await desk.read(M2, M1)
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2"]}
    assert [event.data.message_id for event in await desk.said()] == ["m1", "m2"]


async def test_records_read_again_have_no_second_effect(desk: CountingDesk) -> None:
    records = await desk.read(M1, M2)
    await desk.read(*records)
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2"]}


async def test_position_moves_with_the_effects_and_never_back(desk: CountingDesk) -> None:
    records = await desk.read(M1, M2)
    position = "select next_offset from positions where topic = 'inbound-messages.v1' and partition = 0"
    assert await desk.rows(position) == [(records[1].offset + 1,)]
    await desk.read(records[0])
    assert await desk.rows(position) == [(records[1].offset + 1,)]


async def test_same_provider_id_from_another_publisher_is_the_same_message(desk: CountingDesk) -> None:
    await desk.read(an_event(M1, event_id="gateway-1"), an_event(M1, event_id="other-7"))
    assert await desk.counted() == {pair_of(ANN): ["m1"]}


async def test_same_provider_id_of_another_tenant_is_another_message(desk: CountingDesk) -> None:
    await desk.read(an_event(M1), an_event(M1, tenant="globex"))
    assert len(await desk.counted()) == 2


async def test_request_id_used_for_another_body_is_a_dead_letter_and_blocks_nobody(
    desk: CountingDesk,
) -> None:
    await desk.read(a_send(said="one"), a_send(said="another"), a_send(said="one"), a_send("send-2"))
    await desk.read(a_send(said="a third"))
    assert await desk.counted() == {pair_of(ANN): ["send-1", "send-2"]}
    letters = await desk.dead_letters()
    assert [(letter.reason, letter.parked_key) for letter in letters] == [("request_id_conflict", None)] * 2
    assert "use a new one" in letters[0].detail


async def test_same_request_asked_again_later_is_a_repeat(desk: CountingDesk) -> None:
    await desk.read(a_send())
    await desk.read(a_send().model_copy(update={"requested_at": NOON + timedelta(hours=1)}))
    assert await desk.counted() == {pair_of(ANN): ["send-1"]}
    assert await desk.dead_letters() == []


async def test_two_consumers_of_one_message_count_it_once(database: Database) -> None:
    desks = [CountingDesk(database), CountingDesk(database)]
    for word in "abcde":
        batch = messages(40, word=word)
        await asyncio.gather(*(desk.read(*batch) for desk in desks))
    assert await desks[0].counted() == {
        pair_of(ANN): [f"{word}{n}" for word in "abcde" for n in range(1, 41)],
    }


async def test_commit_whose_result_is_lost_has_its_effect_once(database: Database) -> None:
    lost = iter([True, False])

    @asynccontextmanager
    async def transactions() -> AsyncIterator[AsyncConnection]:
        async with database.transaction() as tx:
            yield tx
        if next(lost):
            raise ConnectionResetError("the connection was cut while the answer to COMMIT was on its way")

    desk = CountingDesk(database, transactions=transactions)
    await desk.read(M1, M2, a_record(b"no event"))
    assert await desk.counted() == {pair_of(ANN): ["m1", "m2"]}
    assert [event.data.message_id for event in await desk.said()] == ["m1", "m2"]
    assert [letter.reason for letter in await desk.dead_letters()] == ["broken_json"]
    assert len(desk.pauses) == 1


class TestForgetting:
    """The marks of what was seen cannot be partitioned by day and stay unique: they go in slices."""

    async def seen(self, desk: CountingDesk, *batch: Model, days_ago: float) -> None:
        desk.clock.time = NOON - timedelta(days=days_ago)
        await desk.read(*batch)
        desk.clock.time = NOON

    async def forget(self, desk: CountingDesk, limit: int) -> int:
        async with desk.database.transaction() as tx:
            return await desk.journal.forget_seen(tx, NOON, limit)

    async def test_marks_older_than_providers_redeliver_go_in_slices(self, desk: CountingDesk) -> None:
        await self.seen(desk, *messages(5, word="old"), days_ago=8.1)
        await self.seen(desk, *messages(3, word="kept"), days_ago=7.9)
        assert [await self.forget(desk, limit=2) for _ in range(4)] == [2, 2, 1, 0]
        assert len(await desk.rows("select 1 from processed_events")) == 3

    async def test_oldest_marks_go_first(self, desk: CountingDesk) -> None:
        await self.seen(desk, *messages(1, word="newer"), days_ago=9)
        await self.seen(desk, *messages(1, word="oldest"), days_ago=10)
        await self.forget(desk, limit=1)
        assert [seen for (seen,) in await desk.rows("select seen_at from processed_events")] == [
            NOON - timedelta(days=9)
        ]

    async def test_message_redelivered_after_a_week_is_still_known(self, desk: CountingDesk) -> None:
        await self.seen(desk, M1, days_ago=7)
        await self.forget(desk, limit=100)
        await desk.read(M1)
        assert await desk.counted() == {pair_of(ANN): ["m1"]}
        assert timedelta(days=8) <= KEEP_SEEN

    @pytest.mark.parametrize(
        ("law", "statements", "admitted"),
        [
            ("one table, deleted in slices", [], [True, False]),
            (
                "a partition a day, dropped whole",
                [
                    "drop table processed_events",
                    f"create table processed_events ({_COLUMNS}) partition by range (seen_at)",
                    f"create table today {_PART_OF} ('2026-11-18') to ('2026-11-19')",
                    f"create table tomorrow {_PART_OF} ('2026-11-19') to ('2026-11-20')",
                ],
                [True, True],
            ),
        ],
    )
    async def test_only_an_unpartitioned_table_knows_a_repeat_on_the_next_day(
        self, desk: CountingDesk, law: str, statements: list[str], admitted: list[bool]
    ) -> None:
        async with desk.database.transaction() as tx:
            for statement in statements:
                await tx.execute(text(statement))
            fresh = [
                (
                    await tx.execute(
                        text(
                            "insert into processed_events (digest, seen_at) values ('m1', :now)"
                            " on conflict do nothing returning 1"
                        ),
                        {"now": NOON + timedelta(days=day)},
                    )
                ).one_or_none()
                is not None
                for day in (0, 1)
            ]
        assert fresh == admitted, law
