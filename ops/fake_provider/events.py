"""Receipts as events on ``provider-events.v1``: what a gateway would make of the provider's callbacks."""

from collections.abc import Mapping

from aiokafka import AIOKafkaProducer

from ops.fake_provider.receipts import ProviderReceipt
from ops.fake_provider.script import token
from shared.contracts import catalogue, cloudevents
from shared.contracts.event import Event
from shared.contracts.provider_events import Receipt

SOURCE = "fake-provider"


def receipt_event(
    receipt: ProviderReceipt, number: int, addresses: Mapping[str, str] | None = None
) -> Event[Receipt] | None:
    """Return the event of a receipt; None for one without our correlation id, whose tenant is unknown.

    ``number`` tells repeats apart: a provider's second callback is another event with the same words.
    ``addresses`` gives each account's business address, so that the event is keyed by its pair.
    """
    tenant_id, found, _ = (receipt.correlation_id or "").partition("|")
    if not found:
        return None
    data = Receipt(
        provider="whatsapp_cloud",
        channel="whatsapp",
        business_address=(addresses or {}).get(receipt.account),
        customer_address=receipt.recipient,
        provider_message_id=receipt.wamid,
        correlation_id=receipt.correlation_id,
        status=receipt.status,
        at=receipt.at,
        code=receipt.code,
    )
    return Event(
        id=token(number, receipt.wamid, receipt.status),
        source=SOURCE,
        type=catalogue.type_of(Receipt),
        subject=receipt.wamid,
        time=receipt.at,
        tenant_id=tenant_id,
        data=data,
    )


class KafkaReceipts:
    """Publishes receipts; give its ``tell`` to the fake provider."""

    def __init__(
        self, producer: AIOKafkaProducer, topic_prefix: str = "", addresses: Mapping[str, str] | None = None
    ) -> None:
        self._producer = producer
        self._prefix = topic_prefix
        self._addresses = addresses
        self._number = 0

    async def tell(self, receipt: ProviderReceipt) -> None:
        """Publish one receipt and wait until the broker has it."""
        self._number += 1
        event = receipt_event(receipt, self._number, self._addresses)
        if event is not None:
            topic = self._prefix + catalogue.topic_of(event.type)
            key = catalogue.key_of(event).encode()
            await self._producer.send_and_wait(topic, cloudevents.encode(event), key=key)
