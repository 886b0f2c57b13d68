"""What a batch needs to know before it can be folded."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.outbound.decisions import receipts
from services.outbound.model import SendRef
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairChanged
from shared.contracts.provider_events import CallReceived, Receipt


@dataclass(slots=True)
class Needs:
    """Pairs to lock, and the sends that receipts speak of: by our id, or by (tenant, provider's id)."""

    pairs: set[Pair] = field(default_factory=set)
    refs: set[SendRef] = field(default_factory=set)
    messages: set[tuple[str, str]] = field(default_factory=set)


def needs_of(events: Iterable[Event[Model]]) -> Needs:
    """Collect what these events need."""
    needs = Needs()
    for event in events:
        match event.data:
            case MessageSend() | PairChanged() as said:
                needs.pairs.add(_pair(event.tenant_id, said))
            case MessageReceived() | CallReceived() as word if word.channel == "whatsapp":
                needs.pairs.add(_pair(event.tenant_id, word))
            case Receipt() as receipt:
                _need_send(needs, event.tenant_id, receipt)
            case _:
                pass
    return needs


def _need_send(needs: Needs, tenant_id: str, receipt: Receipt) -> None:
    if (ref := receipts.ref_of(receipt, tenant_id)) is not None:
        needs.refs.add(ref)
    if receipt.provider_message_id is not None:
        needs.messages.add((tenant_id, receipt.provider_message_id))


def _pair(tenant_id: str, said: MessageSend | PairChanged | MessageReceived | CallReceived) -> Pair:
    return Pair.of(tenant_id, said.channel, said.business_address, said.customer_address)
