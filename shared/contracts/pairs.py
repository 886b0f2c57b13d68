"""``pairs.v1``: what outbound knows of each pair's window and consent."""

from typing import Literal, TypeAlias

from shared.contracts.event import Model
from shared.contracts.fields import Address, Channel, Count, Flag, Time


class PairRef(Model):
    """A pair as the contracts write it; addresses are raw, the tenant is the envelope's."""

    channel: Channel
    business_address: Address
    customer_address: Address


WindowState: TypeAlias = Literal["open", "closing", "closed", "unknown"]
ConsentState: TypeAlias = Literal["unknown", "opted_in", "opted_out"]


class Window(Model):
    """The contact window. ``closing`` is open, but within the safety margin of its end or soon there."""

    state: WindowState
    last_inbound_at: Time | None = None
    expires_at: Time | None = None


class Consent(Model):
    """What the customer allows: all that the business starts, marketing alone, answers (provider's stop)."""

    state: ConsentState = "unknown"
    marketing: ConsentState = "unknown"
    blocked_by_provider: Flag = False
    changed_at: Time | None = None


class PairChanged(Model):
    """The whole state of a pair in the ledger."""

    channel: Channel
    business_address: Address
    customer_address: Address
    window: Window
    consent: Consent
    version: Count
