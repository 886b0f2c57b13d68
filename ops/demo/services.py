"""The desk's services as processes of the demo, each with its log in a file."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from ops.stack.ports import free_port

NAMES = ("desk", "presence", "routing", "tickets", "outbound")
READY_SECONDS = 60.0
STOP_SECONDS = 20.0
_PATIENCE = aiohttp.ClientTimeout(total=5)
_READY = 200


class ServiceFailedError(Exception):
    """A service ended, or never got ready; the message says where its log is."""


class RunningService:
    """One service, started by `chatdesk run`."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._port = free_port(str(log))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, environment: Mapping[str, str]) -> None:
        """Start it in a session of its own, so that Ctrl-C reaches the demo alone, which then stops it."""
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", "from ops.cli import main; main()", "run", self.name),
                *("--port", str(self._port)),
                env={**os.environ, **environment},
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def until_ready(self) -> None:
        """Wait for it. Raises ServiceFailedError when it ends, or is not ready in time."""
        try:
            async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession(timeout=_PATIENCE) as session:
                while not await self._is_ready(session):
                    self.check()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise ServiceFailedError(
                f"{self.name} is not ready after {READY_SECONDS:.0f} s: {self.log}"
            ) from None

    async def _is_ready(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self._port}/readyz") as answer:
                return answer.status == _READY
        except (aiohttp.ClientError, TimeoutError):
            return False

    def check(self) -> None:
        """Raise ServiceFailedError when it ended by itself."""
        if self._process is not None and self._process.returncode is not None:
            raise ServiceFailedError(f"{self.name} ended with {self._process.returncode}: {self.log}")

    async def stop(self) -> None:
        """Ask it to stop; end it when it takes too long."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def cpu_seconds(self) -> float | None:
        """Return the processor time it has used so far; None where the system does not tell."""
        if self._process is None:
            return None
        try:
            stat = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii")
        except OSError:
            return None
        # After the name, which may hold anything and ends with the last parenthesis: utime, stime are 14, 15.
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
