"""Runs the fake provider on a real port inside this process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import uvicorn

from ops.fake_provider.provider import FakeProvider

LEAVE_SECONDS = 1
"""How long calls that hang may hold up the end; forced at once, the application would not hear of it."""
KEEP_ALIVE_SECONDS = 75
"""As long as large providers keep idle connections; longer than our adapter does."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@contextlib.asynccontextmanager
async def serving(provider: FakeProvider, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve while the block runs; yields the base URL. Port 0 picks a free one."""
    config = uvicorn.Config(
        provider,
        host=host,
        port=port,
        log_level="critical",
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LEAVE_SECONDS,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve())
    try:
        while not server.started:
            if task.done():
                await task
                raise OSError(f"the fake provider did not start on port {port}")
            await asyncio.sleep(0.01)
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{host}:{bound}"
    finally:
        server.should_exit = True
        await task
