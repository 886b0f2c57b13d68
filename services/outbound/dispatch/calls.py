"""The provider calls under way in this process, and the outcomes that wait to be stored."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import structlog

from services.outbound.decisions.turns import Look, objection_at_the_door
from services.outbound.model import CallOutcome, InDoubt, Message, NotSent, Rules, SenderKey
from services.outbound.providers import Adapter
from shared.platform.clock import Clock


class Answered(NamedTuple):
    """A message and what came of its call."""

    message: Message
    outcome: CallOutcome


class Calls:
    """Runs calls side by side, a bounded number for each sender, and keeps their outcomes."""

    def __init__(self, adapters: Mapping[str, Adapter], rules: Rules) -> None:
        self._adapters = adapters
        self._rules = rules
        self._under_way: dict[asyncio.Task[None], SenderKey] = {}
        self._open: Counter[SenderKey] = Counter()
        self._answered: list[Answered] = []
        self._claiming = 0
        self._news = asyncio.Event()
        self._log = structlog.get_logger()

    def free(self, sender: SenderKey) -> int:
        """Return how many more calls this sender may have open in this process."""
        return max(0, self._rules.calls_per_sender - self._open[sender])

    @contextlib.contextmanager
    def claiming(self) -> Iterator[None]:
        """Surround what may end in calls, from before the claim until they are started."""
        self._claiming += 1
        try:
            yield
        finally:
            self._claiming -= 1

    def start(self, message: Message, look: Look, clock: Clock) -> None:
        """Begin a call whose claim is committed; its outcome appears among the answered ones."""
        sender = message.line.key
        task = asyncio.create_task(self._run(message, look, clock))
        self._open[sender] += 1
        self._under_way[task] = sender
        task.add_done_callback(self._ended)

    def give_back(self, messages: Iterable[Message], cause: str) -> None:
        """Take messages whose claim is committed and whose calls do not begin: nothing was written."""
        self._answered += [Answered(message, NotSent(cause)) for message in messages]
        if self._answered:
            self._news.set()

    def waiting(self) -> list[Answered]:
        """Return the outcomes to store; they stay until they are reported stored."""
        return list(self._answered)

    async def wait_for_news(self, seconds: float) -> None:
        """Wait until an outcome is there to store, at most so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()

    def stored(self, answered: Sequence[Answered]) -> None:
        """Forget outcomes that are committed: the oldest ones, as `waiting` returned them."""
        del self._answered[: len(answered)]
        if not self._answered:
            self._news.clear()

    @property
    def idle(self) -> bool:
        """Whether nothing is claimed, nothing under way, and nothing waits to be stored."""
        return not self._claiming and not self._under_way and not self._answered

    async def finish(self) -> None:
        """Wait for the calls under way; each has its deadline."""
        if self._under_way:
            await asyncio.wait(list(self._under_way))
        for adapter in self._adapters.values():
            await adapter.close()

    async def _run(self, message: Message, look: Look, clock: Clock) -> None:
        outcome: CallOutcome | None = objection_at_the_door(message, look, clock.now(), self._rules)
        if outcome is None:
            try:
                adapter = self._adapters[message.line.provider]
                outcome = await adapter.send(
                    message, deadline_seconds=self._rules.call_deadline.total_seconds()
                )
            except Exception as error:  # noqa: BLE001 - a bug in an adapter says nothing of how far it got
                self._log.exception("adapter_raised", provider=message.line.provider)
                outcome = InDoubt(f"adapter_raised_{type(error).__name__}"[:64])
        self._answered.append(Answered(message, outcome))
        self._news.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._open[self._under_way.pop(task)] -= 1
