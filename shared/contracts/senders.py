"""``senders.v1``: the state in which outbound holds each business address at a provider."""

from typing import Literal

from shared.contracts.event import Model
from shared.contracts.fields import Address, Count, Time, Word


class SenderChanged(Model):
    """The whole state of a sender."""

    provider: Word
    business_address: Address
    state: Literal["running", "slowed", "halted"]
    reason: Word
    since: Time
    version: Count
