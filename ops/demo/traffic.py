"""The traffic of a run: customers write, people come and go, and once in a while somebody makes trouble."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from ops.demo.agents import Floor, Move, shifts
from ops.demo.driver import GATEWAY, Driver
from ops.demo.office import Office
from ops.demo.options import Options
from ops.demo.plan import Plan, Write
from ops.demo.scene import Scene
from ops.demo.show import Show
from shared.contracts.content import Text
from shared.contracts.inbound_messages import MessageReceived
from shared.platform.clock import Clock

ANSWERED_SECONDS = 2.0
"""How long agents go on answering after the last message."""
MISCHIEF_AT = 0.4
"""The share of the run after which rubbish is published."""


class Traffic:
    """Plays a plan in real time."""

    def __init__(self, options: Options, planned: Plan, driver: Driver, show: Show, clock: Clock) -> None:
        self.scene = Scene()
        self.floor = Floor(options.seed, options.rate, driver)
        self._options = options
        self._plan = planned
        self._driver = driver
        self._office = Office(options.seed, driver, self.scene, clock)
        self.written: Counter[int] = Counter()
        """Customers' messages in each second from the start."""
        self._show = show
        self._clock = clock
        self._began = clock.monotonic()

    async def run(self) -> None:
        """Let customers write and people work for as long as was asked, then let agents put things down."""
        self._began = self._clock.monotonic()
        customers = sorted({write.customer for write in self._plan.writes})
        async with asyncio.TaskGroup() as group:
            office = group.create_task(self._office.run(customers))
            async with asyncio.TaskGroup() as acting:
                acting.create_task(self._write())
                acting.create_task(self._move(shifts(self._options.seed, self._options.duration)))
                acting.create_task(self._make_mischief(customers[0]))
            office.cancel()
            await asyncio.sleep(ANSWERED_SECONDS)
        self.floor.rest()

    def seconds(self) -> float:
        """Return how long it has been going on."""
        return self._clock.monotonic() - self._began

    async def _write(self) -> None:
        for write in self._plan.writes:
            await self._until(write.at)
            self._publish(write)
        await self._until(self._options.duration)

    def _publish(self, write: Write) -> None:
        now = self._clock.now()
        message = MessageReceived(
            channel="whatsapp",
            business_address=write.business_address,
            customer_address=write.customer,
            provider="whatsapp_cloud",
            provider_message_id=write.message_id,
            sent_at=now - timedelta(seconds=write.before),
            received_at=now,
            content=Text(text=write.text),
        )
        event = self._driver.say(message, GATEWAY)
        self.written[int(self.seconds())] += 1
        if write.repeat is not None:
            again = self._driver.repeat if write.repeat.same_event else self._driver.say_again
            asyncio.get_running_loop().call_later(write.repeat.after, again, event, GATEWAY)

    async def _move(self, moves: Sequence[Move]) -> None:
        for move in moves:
            await self._until(move.at)
            self.floor.move(move)
            if move.told is not None:
                self._show.happening(move.at, move.told)

    async def _make_mischief(self, customer: str) -> None:
        at = MISCHIEF_AT * self._options.duration
        await self._until(at)
        self._office.make_mischief(customer)
        self._show.happening(at, "somebody publishes rubbish")

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, self._began + at - self._clock.monotonic()))
