"""Too many dead letters pause their partition: none behind is parked, none is lost, others go on."""

from collections.abc import Sequence

import pytest
from sqlalchemy import text

from shared.contracts.event import Model
from shared.platform.limit import MOST, MOST_IN_A_ROW
from shared.platform.parking import Parking, Place
from shared.platform.pipeline import decode
from shared.platform.records import Record
from tests.desk_events import a_message
from tests.pipeline.builders import ANN, BOB, INBOUND, CountingDesk, a_record, messages, pair_of
from tests.pipeline.counting import POISON, REJECT

pytestmark = pytest.mark.servers


def spread(bad: Sequence[Model | bytes], partition: int = 0) -> list[Record]:
    """Put a good message behind each bad record, of one customer and partition."""
    return [
        record
        for n, one in enumerate(bad)
        for record in (
            a_record(one, topic=INBOUND, partition=partition),
            a_record(a_message(message_id=f"good{n}", provider=f"p{partition}"), partition=partition),
        )
    ]


def poisons(count: int) -> list[Model]:
    return [a_message(POISON, customer=f"+2783{n:06}", message_id=f"poison{n}") for n in range(count)]


async def paused(desk: CountingDesk) -> set[Place]:
    async with desk.database.transaction() as tx:
        return await Parking().paused(tx)


async def resume(desk: CountingDesk) -> None:
    async with desk.database.transaction() as tx:
        await tx.execute(text("update positions set paused_at = null, counted_from = next_offset"))


async def run(desk: CountingDesk, records: Sequence[Record]) -> dict[Place, int]:
    return await desk.pipeline.run([decode(record) for record in records])


async def position(desk: CountingDesk, partition: int) -> int:
    ((at,),) = await desk.rows("select next_offset from positions where partition = :p", p=partition)
    return int(at)


@pytest.mark.parametrize(
    "bad", [[b"{"] * 30, poisons(30), [a_message(REJECT, message_id=f"r{n}") for n in range(30)]]
)
async def test_partition_stops_exactly_at_its_limit(desk: CountingDesk, bad: list[Model | bytes]) -> None:
    records = spread(bad, partition=11)
    last = records[2 * (MOST - 1)].offset
    stops = await run(desk, records)
    assert stops == {(INBOUND, 11): last + 1}
    assert sorted(await paused(desk)) == [(INBOUND, 11)]
    assert len(await desk.parked()) == len(await desk.dead_letters()) == MOST
    assert await position(desk, 11) == last + 1
    assert len((await desk.counted())[pair_of(ANN)]) == MOST - 1


async def test_a_row_of_them_stops_it_sooner(desk: CountingDesk) -> None:
    await run(desk, [a_record(b"{", topic=INBOUND, partition=12) for _ in range(30)])
    assert len(await desk.parked()) == MOST_IN_A_ROW


async def test_other_partitions_of_the_batch_go_on(desk: CountingDesk) -> None:
    bad, good = spread([b"{"] * 30, partition=13), spread([b"{"] * 19, partition=14)
    both = [record for pair in zip(bad, good, strict=False) for record in pair]
    stops = await run(desk, both + bad[len(good) :])
    assert list(stops) == [(INBOUND, 13)]
    assert await position(desk, 14) == good[-1].offset + 1


async def test_what_waits_behind_a_parked_key_never_pauses(desk: CountingDesk) -> None:
    await desk.read(a_message(POISON), *messages(60))
    assert len(await desk.parked()) == 61
    assert await paused(desk) == set()


async def test_letters_of_earlier_batches_count_and_repeats_do_not(desk: CountingDesk) -> None:
    first = spread([b"{"] * (MOST - 1), partition=15)
    for _ in range(3):
        await run(desk, first)
    assert await paused(desk) == set()
    stops = await run(desk, spread([b"{"] * 2, partition=15))
    assert list(stops) == [(INBOUND, 15)]
    assert len(await desk.parked()) == MOST


async def test_counting_starts_anew_when_it_is_resumed(desk: CountingDesk) -> None:
    records = spread([b"{"] * (2 * MOST - 1), partition=16)
    stop = (await run(desk, records))[INBOUND, 16]
    await resume(desk)
    assert await run(desk, [one for one in records if one.offset >= stop]) == {}
    assert await paused(desk) == set()
    assert len(await desk.parked()) == 2 * MOST - 1
    assert len((await desk.counted())[pair_of(ANN)]) == 2 * MOST - 1


async def test_process_that_lost_its_partition_parks_nothing_more_once_it_is_paused(
    desk: CountingDesk,
) -> None:
    """Such as one that froze with a batch in hand: what it would park stays for whoever reads on."""
    records = spread([b"{"] * (MOST + 5), partition=17)
    await run(desk, records)
    zombie = CountingDesk(desk.database)
    late = [a_record(b"{", topic=INBOUND, partition=17), *[a_record(a_message(customer=BOB), partition=18)]]
    assert await zombie.pipeline.run([decode(record) for record in late]) == {(INBOUND, 17): 0}
    assert len(await desk.parked()) == MOST
    assert pair_of(BOB) in await desk.counted()
