"""Several processes of one service: they share partitions and lanes, come, go and die, and nothing shows."""

import signal

import pytest

from ops.stack import Addresses
from shared.platform.tables import LANES
from tests.pipeline.flow import Flow
from tests.pipeline.installed import Counting, installed
from tests.pipeline.waiting import until_holds

pytestmark = pytest.mark.servers


async def held_lanes(counting: Counting) -> list[int]:
    """Return how many lanes each living owner holds, the smallest share first."""
    rows = await counting.rows(
        "select count(*) from lanes where leased_until > now() and owner is not null group by owner"
    )
    return sorted(count for (count,) in rows)


async def test_processes_come_go_and_die_under_a_flow_of_unkeyed_records(servers: Addresses) -> None:
    async with installed(servers) as counting:
        first = await counting.start().ready()
        async with Flow(counting).running() as flow:
            await flow.until_more_is_counted()
            assert await held_lanes(counting) == [LANES]

            second = await counting.start().ready()
            await until_holds(lambda: second.measured("records_read_total"), bool)
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES // 2, LANES // 2])
            repeated = await second.measured("records_repeated_total")
            await second.stopped()
            await flow.until_more_is_counted()
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES])
            assert repeated + await first.measured("records_repeated_total") == 0

            third = await counting.start().ready()
            await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES // 2, LANES // 2])
            third.kill()
            await flow.until_more_is_counted()
        await until_holds(lambda: held_lanes(counting), lambda held: held == [LANES])
        await counting.prove(flow.sent, ordered=False)
        assert await first.stopped() in {0, -signal.SIGTERM}
