"""What each event means for outbound: one step per event type, in the order of the batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from services.outbound.decisions import receipts, telling, window
from services.outbound.decisions.fold import Fold
from services.outbound.model import Declined, Send, SendRef
from shared.contracts.event import Cause, Event, Model
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.pairs import PairChanged
from shared.contracts.provider_events import CallReceived, Receipt

ReadFailure: TypeAlias = Callable[[Receipt], Declined | None]
"""Says what a receipt's error code means; None for a receipt without one."""


@dataclass(slots=True)
class Scene:
    """What steps work on: the fold, the sends known by a provider's id, and receipts nobody can place yet."""

    fold: Fold
    by_message: Mapping[tuple[str, str], SendRef]
    read_failure: ReadFailure
    now: datetime
    unplaced: list[tuple[Cause, Receipt]] = field(default_factory=list)


Step: TypeAlias = Callable[[Scene, Event[Model]], None]


def take_request(scene: Scene, event: Event[Model]) -> None:
    """A request is stored; its pair's turn decides when it goes."""
    if isinstance(request := event.data, MessageSend):
        pair = Pair.of(event.tenant_id, request.channel, request.business_address, request.customer_address)
        scene.fold.queue(pair, request, event.as_cause())


def hear_message(scene: Scene, event: Event[Model]) -> None:
    """A customer's message opens the window, whatever its order of arrival."""
    word = event.data
    if isinstance(word, MessageReceived) and word.channel == "whatsapp" and window.opens(word.content):
        at = window.spoken_at(word.sent_at, word.received_at, scene.now)
        pair = Pair.of(event.tenant_id, word.channel, word.business_address, word.customer_address)
        scene.fold.hear(pair, at, event.as_cause())


def hear_call(scene: Scene, event: Event[Model]) -> None:
    """A customer's call opens the window as well."""
    call = event.data
    if isinstance(call, CallReceived) and call.channel == "whatsapp":
        at = window.spoken_at(call.at, event.time, scene.now)
        pair = Pair.of(event.tenant_id, call.channel, call.business_address, call.customer_address)
        scene.fold.hear(pair, at, event.as_cause())


def take_receipt(scene: Scene, event: Event[Model]) -> None:
    """A receipt moves its message, or waits until the message's provider id is known."""
    if isinstance(receipt := event.data, Receipt):
        place_receipt(scene, event.as_cause(), receipt)


def place_receipt(scene: Scene, cause: Cause, receipt: Receipt) -> None:
    """Give a receipt to the message it speaks of: by our correlation id, else by the provider's id."""
    send = _spoken_of(scene, cause.tenant_id, receipt)
    if send is not None:
        scene.fold.receive(send, receipt, scene.read_failure(receipt), cause)
    elif receipt.provider_message_id is not None:
        scene.unplaced.append((cause, receipt))


def hear_echo(scene: Scene, event: Event[Model]) -> None:
    """Our own word on a pair, read back from its compacted topic."""
    said = event.data
    if isinstance(said, PairChanged) and event.source == telling.SOURCE:
        pair = Pair.of(event.tenant_id, said.channel, said.business_address, said.customer_address)
        scene.fold.echo(pair, said.version, event.as_cause())


def pass_by(_scene: Scene, _event: Event[Model]) -> None:
    """Documents are kept as they come; edits and revocations open nothing."""


def _spoken_of(scene: Scene, tenant_id: str, receipt: Receipt) -> Send | None:
    ref = receipts.ref_of(receipt, tenant_id)
    if ref is not None and (send := scene.fold.find(ref)) is not None:
        return send
    if receipt.provider_message_id is None:
        return None
    known = scene.by_message.get((tenant_id, receipt.provider_message_id))
    return None if known is None else scene.fold.find(known)
