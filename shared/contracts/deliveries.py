"""``deliveries.v1``: what became of each send request."""

from shared.contracts.actors import Actor
from shared.contracts.event import Model
from shared.contracts.fields import Address, Channel, Count, Detail, Id, Time, Word
from shared.contracts.outbound_messages import Purpose
from shared.contracts.pairs import Window


class Delivery(Model):
    """What every status of a send carries. ``reason`` is a word of docs/channels.md, 2 and 4."""

    request_id: Id
    purpose: Purpose
    by: Actor | None = None
    chat_id: Id | None = None
    ticket_id: Id | None = None
    channel: Channel
    business_address: Address
    customer_address: Address
    provider: Word | None = None
    provider_message_id: Id | None = None
    segments: Count | None = None
    at: Time
    reason: Word | None = None
    provider_code: Word | None = None
    provider_detail: Detail | None = None
    retry_not_before: Time | None = None
    window: Window | None = None


class DeliveryAccepted(Delivery):
    """The provider took the message and gave it an id."""


class DeliverySent(Delivery):
    """The provider handed the message on."""


class DeliveryDelivered(Delivery):
    """The message is on the customer's device."""


class DeliveryRead(Delivery):
    """The customer opened the message."""


class DeliveryPlayed(Delivery):
    """The customer played the voice message."""


class DeliveryFailed(Delivery):
    """The provider refused the message, or gave it up later. It will not be retried."""


class DeliveryRefused(Delivery):
    """We refused to send: no provider was called."""


class DeliveryHeld(Delivery):
    """The message waits, for instance for a halted sender."""


class DeliveryInDoubt(Delivery):
    """The call was cut: the provider may or may not have it. Never sent again of our own accord."""


class DeliveryUnknown(Delivery):
    """Still in doubt after the stated wait: nobody knows."""
