"""``provider-events.v1``: what providers tell us beside messages."""

from typing import Literal, TypeAlias

from shared.contracts.event import Model
from shared.contracts.fields import Address, Channel, Detail, Id, Name, Time, Word

ReceiptStatus: TypeAlias = Literal["accepted", "sent", "delivered", "read", "played", "failed"]


class Receipt(Model):
    """A provider's callback about one of our messages. ``correlation_id`` is tenant and request id."""

    provider: Word
    channel: Channel | None = None
    business_address: Address | None = None
    customer_address: Address | None = None
    provider_message_id: Id | None = None
    correlation_id: Id | None = None
    status: ReceiptStatus
    at: Time
    code: Word | None = None
    detail: Detail | None = None


class TemplateChanged(Model):
    """A provider approved, paused, rejected … a template."""

    provider: Word | None = None
    business_address: Address | None = None
    name: Name
    language: Word
    state: Word
    category: Word | None = None


class IdentityChanged(Model):
    """A customer's address changed from ``old`` to ``new``: both are the same pair from now on."""

    channel: Channel = "whatsapp"
    business_address: Address
    old: Address
    new: Address
    at: Time


class ConsentChanged(Model):
    """A customer stopped or resumed something at the provider."""

    channel: Channel = "whatsapp"
    business_address: Address | None = None
    customer_address: Address
    scope: Literal["all", "business_started", "marketing"]
    state: Literal["opted_in", "opted_out"]
    at: Time


class SenderChanged(Model):
    """A provider changed the standing of one of our business addresses."""

    provider: Word | None = None
    business_address: Address
    state: Word


class CallReceived(Model):
    """A customer called: it opens the window, nothing else."""

    channel: Channel = "whatsapp"
    business_address: Address
    customer_address: Address
    at: Time
