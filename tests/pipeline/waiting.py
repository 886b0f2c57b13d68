"""Waiting for what must come about, with a deadline, instead of sleeping and hoping."""

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TypeVar

ValueT = TypeVar("ValueT")
PATIENCE_SECONDS = 30.0
_POLL_SECONDS = 0.02


async def until(
    look: Callable[[], Awaitable[float]], *, at_least: float, seconds: float = PATIENCE_SECONDS
) -> None:
    """Look again and again until there is as much as asked for. Fails with what there is instead."""
    await until_holds(look, lambda found: found >= at_least, seconds=seconds)


async def until_holds(
    look: Callable[[], Awaitable[ValueT]],
    enough: Callable[[ValueT], bool],
    *,
    seconds: float = PATIENCE_SECONDS,
) -> ValueT:
    """Look again and again until it is enough, and return it. Fails with what there is instead."""
    deadline = monotonic() + seconds
    while not enough(found := await look()):
        assert monotonic() < deadline, f"after {seconds} s there is only {str(found)[:2000]}"
        await asyncio.sleep(_POLL_SECONDS)
    return found
