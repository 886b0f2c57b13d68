"""``sender-commands.v1``: stop and start a sender by hand."""

from shared.contracts.actors import Actor
from shared.contracts.event import Model
from shared.contracts.fields import Address, Word


class SenderHalt(Model):
    """Send nothing from this business address until it is resumed; messages are held."""

    provider: Word
    business_address: Address
    reason: Word
    by: Actor | None = None


class SenderResume(Model):
    """Go on sending from this business address."""

    provider: Word
    business_address: Address
    reason: Word
    by: Actor | None = None
