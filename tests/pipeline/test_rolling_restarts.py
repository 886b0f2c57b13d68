"""Two replicas of every service under the demo's load, each restarted in turn: ten invariants hold."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console

from ops.demo.installation import installation
from ops.demo.options import Options
from ops.demo.run import Run
from ops.demo.services import NAMES, RunningService, ServiceFailedError
from ops.demo.show import best_show
from ops.demo.telling import Teller
from ops.stack import Addresses
from shared.platform.clock import SystemClock
from tests.conftest import unique

pytestmark = [pytest.mark.servers, pytest.mark.long]

REPLICAS = 2
SECONDS = 60.0
RATE = 15.0


class Replicated(RunningService):
    """A service in two processes; asked for one thing, both do it."""

    def __init__(self, name: str, folder: Path) -> None:
        super().__init__(name, folder / f"{name}.log")
        self._replicas = [RunningService(name, folder / f"{name}-{n}.log") for n in range(REPLICAS)]
        self._environment: Mapping[str, str] = {}
        self._leaving: RunningService | None = None
        self._stopping = False
        self.ready = asyncio.Event()

    async def start(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        for replica in self._replicas:
            await replica.start(environment)

    async def until_ready(self) -> None:
        await asyncio.gather(*(replica.until_ready() for replica in self._replicas))
        self.ready.set()

    async def restart(self, n: int) -> None:
        """Ask one replica to stop, and start it anew once it is gone."""
        self._leaving = self._replicas[n]
        await self._leaving.stop()
        if self._stopping:
            return
        await self._leaving.start(self._environment)
        self._leaving = None
        await self._replicas[n].until_ready()

    def check(self) -> None:
        for replica in self._replicas:
            if replica is not self._leaving:
                replica.check()

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*(replica.stop() for replica in self._replicas))

    def kill(self) -> None:
        for replica in self._replicas:
            replica.kill()

    def cpu_seconds(self) -> float | None:
        return None


async def restart_each_in_turn(services: Mapping[str, Replicated], done: list[str]) -> None:
    """Restart one replica of every service, and once they are ready the next, as a rollout does."""
    for service in services.values():
        await service.ready.wait()

    async def restart(name: str, n: int) -> None:
        await services[name].restart(n)
        done.append(f"{name}/{n}")

    for n in range(REPLICAS):
        await asyncio.gather(*(restart(name, n) for name in services))


async def test_rolling_restarts_break_nothing(
    servers: Addresses, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock, teller = SystemClock(), Teller(Console(file=(tmp_path / "told.txt").open("w"), width=80))
    options = Options(SECONDS, RATE, 11, tmp_path, tmp_path / "report.json", plain=True)
    async with installation(servers, unique("rolling_")) as here:
        run = Run(options, here, teller, best_show(teller.console, teller, plain=True), clock)
        services = {name: Replicated(name, tmp_path) for name in NAMES}
        run._services.update(services)
        restarted: list[str] = []
        rolling = asyncio.create_task(restart_each_in_turn(services, restarted))
        try:
            await run.carry_out()
        finally:
            rolling.cancel()
            # Those that are ready have been watched all the time; the last one may be stopped on its way.
            with contextlib.suppress(asyncio.CancelledError, ServiceFailedError):
                await rolling
        here.keep = False
    with capsys.disabled():
        sys.stdout.write(f"\n{len(restarted)} restarts: {run.summary}\n")
    assert "10 invariants checked, 0 broken" in run.summary, (tmp_path / "told.txt").read_text()
    assert set(NAMES) <= {one.split("/")[0] for one in restarted}, "every service was restarted under load"
    assert json.loads(options.report.read_text())
