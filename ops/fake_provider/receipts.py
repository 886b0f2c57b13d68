"""The receipts of a message that was taken: sent, delivered, perhaps read; sometimes twice or disordered."""

from dataclasses import dataclass
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from ops.fake_provider.script import Accept, chance


class ProviderReceipt(BaseModel):
    """One callback of the provider, before any gateway made an event of it."""

    model_config = ConfigDict(frozen=True)

    entry: Literal["receipt"] = "receipt"
    account: str
    recipient: str
    wamid: str
    correlation_id: str | None
    status: Literal["sent", "delivered", "read", "failed"]
    at: AwareDatetime
    code: str | None = None


class ReceiptHabits(BaseModel):
    """When receipts come, in seconds after acceptance, and how often they misbehave (shares from 0 to 1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sent_after: float = 0.02
    delivered_after: float = 0.08
    read_after: float = 0.3
    read_share: float = 0.7
    repeated_share: float = 0.05
    disordered_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Planned:
    """A receipt to send so many seconds after acceptance."""

    after: float
    status: Literal["sent", "delivered", "read", "failed"]
    code: str | None = None


def plan(habits: ReceiptHabits, answer: Accept | None, seed: int, wamid: str) -> list[Planned]:
    """Return the receipts of one message in the order they go out. The same message, the same plan."""
    sent = Planned(0.0 if answer is not None and answer.receipts_first else habits.sent_after, "sent")
    if answer is not None and answer.failed_later is not None:
        return [sent, Planned(habits.delivered_after, "failed", answer.failed_later)]
    planned = [sent, Planned(habits.delivered_after, "delivered")]
    if chance(seed, wamid, "read") < habits.read_share:
        planned.append(Planned(habits.read_after, "read"))
    if chance(seed, wamid, "disordered") < habits.disordered_share:
        times = [one.after for one in planned]
        planned = [Planned(after, one.status) for after, one in zip(times, reversed(planned), strict=True)]
    if chance(seed, wamid, "repeated") < habits.repeated_share:
        planned.append(Planned(planned[-1].after, planned[0].status))
    return planned
