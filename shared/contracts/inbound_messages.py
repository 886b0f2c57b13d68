"""``inbound-messages.v1``: what customers wrote, as a provider or another system tells it."""

from pydantic import ConfigDict, Field

from shared.contracts.content import Content
from shared.contracts.event import Model
from shared.contracts.fields import (
    Address,
    Channel,
    Detail,
    Flag,
    Id,
    JsonObject,
    Line,
    Name,
    Priority,
    Time,
    Word,
)


class Handover(Model):
    """What a bot in front of us passes on."""

    model_config = ConfigDict(populate_by_name=True)

    from_: Name = Field(alias="from")
    summary: Detail
    transcript: Detail | None = None
    fields_: JsonObject | None = Field(default=None, alias="fields")


class Hints(Model):
    """What the publisher knows about where this belongs. ``skills`` are asked for beside the rule's."""

    department: Id | None = None
    language: Word | None = None
    skills: tuple[Word, ...] = ()
    priority: Priority | None = None
    handover: Handover | None = None


class InboundMessage(Model):
    """What every event of a customer's message carries.

    ``sent_at`` is the provider's clock, ``customer_ids`` the customer's other addresses in the same
    webhook, ``reply_to`` the quoted message's provider id.
    """

    channel: Channel
    business_address: Address
    customer_address: Address
    provider: Word
    provider_message_id: Id
    sent_at: Time
    received_at: Time
    reply_to: Id | None = None
    forwarded: Flag | None = None
    referral: JsonObject | None = None
    customer_name: Line | None = None
    customer_ids: tuple[Address, ...] = ()
    hints: Hints | None = None


class MessageReceived(InboundMessage):
    """A customer wrote."""

    content: Content


class MessageEdited(InboundMessage):
    """A customer changed the message ``target`` (a provider message id) to this content."""

    target: Id
    content: Content


class MessageRevoked(InboundMessage):
    """A customer took the message ``target`` (a provider message id) back."""

    target: Id
