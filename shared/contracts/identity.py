"""When two events are the same one: the digests by which repeats are recognised (docs/contracts.md, 3)."""

import json
from hashlib import blake2b

from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import InboundMessage
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import canonical_address

_SIZE = 16


def digest_of(event: Event[Model]) -> bytes:
    """Return 16 bytes that every repeat of this event has, and no other event.

    A customer's message is the provider's id at a business address, whoever publishes it; a send is
    its request id; anything else is its source and id. The tenant is always part of it.
    """
    match event.data:
        case InboundMessage() as message:
            address = canonical_address(message.business_address)
            return _hash(event.tenant_id, event.type, message.provider, address, message.provider_message_id)
        case MessageSend() as send:
            return _hash(event.tenant_id, "send", send.request_id)
        case _:
            return _hash(event.tenant_id, "event", event.source, event.id)


def body_of(event: Event[Model]) -> bytes | None:
    """Return 16 bytes of what a send asks for, whenever it was asked; None for anything but sends.

    The same request id with another body is a mistake of its publisher, not a repeat.
    """
    if not isinstance(event.data, MessageSend):
        return None
    asked = event.data.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"requested_at"})
    return _hash(json.dumps(asked, sort_keys=True))


def _hash(*parts: str) -> bytes:
    """Hash the parts with their lengths: no content of one can pass for the border to the next."""
    framed = "".join([f"{len(part)}:{part}" for part in parts])
    return blake2b(framed.encode(), digest_size=_SIZE).digest()
