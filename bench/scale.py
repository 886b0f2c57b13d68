"""P9: two routing processes against one, on the work of P1: one department that all messages want."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from bench import stage, workload
from bench.legs import run_routing
from bench.measured import Measured
from ops.stack import Addresses


def legs(addresses: Addresses, messages: int) -> Mapping[str, Callable[[], Awaitable[Measured]]]:
    """Return the legs ``one`` and ``two``."""
    return {name: partial(_run, addresses, messages, count) for name, count in (("one", 1), ("two", 2))}


async def _run(addresses: Addresses, messages: int, processes: int) -> Measured:
    async with stage.desk(addresses) as settings:
        await stage.publish(settings, workload.setting())
        await stage.publish(settings, workload.messages(messages))
        return await run_routing(settings, messages, processes)
