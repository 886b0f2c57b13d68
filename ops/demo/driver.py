"""Publishes everything that people and other systems say, and keeps the log of what Kafka took."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer

from ops.checker.history import Published
from ops.demo.centre import TENANT
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Cause, Event, Model
from shared.platform.clock import Clock
from shared.platform.settings import PlatformSettings

GATEWAY, DESK, OTHER_SYSTEM = "demo-gateway", "demo-desk", "demo-crm"


class Driver:
    """One publisher for all of them, so that a publisher's order is the order of the partition."""

    def __init__(self, settings: PlatformSettings, clock: Clock) -> None:
        self.published: list[Published] = []
        self._prefix = settings.topic_prefix
        self._clock = clock
        self._producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka, enable_idempotence=True, acks="all", linger_ms=5
        )
        self._waiting: asyncio.Queue[tuple[str, bytes, bytes, str, str, bool]] = asyncio.Queue()
        self._said = 0

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Let go."""
        await self._producer.stop()

    async def run(self) -> None:
        """Publish what is said, in the order it is said, until cancelled."""
        while True:
            topic, key, value, event_id, by, repeat = await self._waiting.get()
            acknowledged = await self._producer.send(self._prefix + topic, value, key=key)
            acknowledged.add_done_callback(
                lambda done, event_id=event_id, by=by, repeat=repeat: self._note(done, event_id, by, repeat)
            )
            self._waiting.task_done()

    def say(self, data: Model, by: str) -> Event[Model]:
        """Publish an event of this tenant's, soon."""
        event = self._event(data, by)
        self.repeat(event, by, repeat=False)
        return event

    def encoded(self, data: Model, by: str) -> bytes:
        """Return what would be published, to be garbled."""
        return cloudevents.encode(self._event(data, by))

    def repeat(self, event: Event[Any], by: str, *, repeat: bool = True) -> None:
        """Publish this very event, perhaps once more."""
        topic, key = catalogue.topic_of(event.type), catalogue.key_of(event)
        self._enqueue(topic, key.encode(), cloudevents.encode(event), event.id, by, repeat=repeat)

    def say_again(self, event: Event[Any], by: str) -> None:
        """Publish another event that tells the same, as a provider's second callback becomes."""
        self.repeat(self._event(event.data, by), by)

    def garble(self, topic: str, key: str, value: bytes, by: str) -> None:
        """Publish bytes that may be no event at all."""
        self._enqueue(topic, key.encode(), value, "", by, repeat=False)

    async def flush(self) -> None:
        """Wait until Kafka has taken all that was said."""
        await self._waiting.join()
        await self._producer.flush()

    def _event(self, data: Model, by: str) -> Event[Model]:
        self._said += 1
        cause = Cause(TENANT, f"{by}-{self._said}")
        return catalogue.fact(cause, data, source=by, subject="", time=self._clock.now())

    def _enqueue(self, topic: str, key: bytes, value: bytes, event_id: str, by: str, *, repeat: bool) -> None:
        self._waiting.put_nowait((topic, key, value, event_id, by, repeat))

    def _note(self, done: "asyncio.Future[Any]", event_id: str, by: str, repeat: bool) -> None:  # noqa: FBT001
        """Keep what was acknowledged. A failed send raises here, and loudly: the run is worth nothing."""
        taken = done.result()
        topic = taken.topic.removeprefix(self._prefix)
        self.published.append(Published(topic, taken.partition, taken.offset, event_id, by, repeat))
