"""``outbound-messages.v1``: requests to send a message to a customer."""

from typing import Literal, TypeAlias

from shared.contracts.actors import Actor
from shared.contracts.content import Content, Template
from shared.contracts.event import Model
from shared.contracts.fields import Address, Channel, Id, Time

Purpose: TypeAlias = Literal["chat", "auto_reply", "outreach", "survey", "opt_out_confirmation", "marketing"]


class MessageSend(Model):
    """Send this once. ``request_id`` is the promise: the same one with another body is refused."""

    request_id: Id
    channel: Channel
    business_address: Address
    customer_address: Address
    chat_id: Id | None = None
    ticket_id: Id | None = None
    by: Actor | None = None
    requested_at: Time
    content: Content
    purpose: Purpose
    reply_to: Id | None = None
    fallback_template: Template | None = None
    not_after: Time | None = None
