"""The providers: each file translates a message, calls, and translates the answer back. No rules here."""

from typing import Protocol

from services.outbound.model import CallOutcome, Message


class Adapter(Protocol):
    """Carries messages to one provider."""

    async def send(self, message: Message, *, deadline_seconds: float) -> CallOutcome:
        """Put one message before the provider, once. Never raises for what a network or provider does."""
        ...

    async def close(self) -> None:
        """Close idle connections; the next call opens new ones."""
        ...
