"""Facts for outbound's decisions; every default is valid, a test states only what matters to it."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.outbound.decisions.checks import Facts
from services.outbound.model import (
    Heard,
    Ledger,
    Line,
    Message,
    PairState,
    Rules,
    Send,
    Sender,
    SenderKey,
    SendState,
    TemplateFact,
)
from shared.contracts import catalogue
from shared.contracts.content import Content, Template, Text
from shared.contracts.directory import ChannelDocument, TemplateDocument
from shared.contracts.event import Cause, Event, Model
from shared.contracts.inbound_messages import MessageReceived
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.provider_events import Receipt

TENANT = "acme"
BUSINESS = "+4930123456"
CUSTOMER = "+27820000001"
ACCOUNT = "1015"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
RULES = Rules()
HELLO = Text(text="hello")
SENDER = SenderKey(TENANT, "whatsapp", BUSINESS)
DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)


def a_pair(customer: str = CUSTOMER, channel: str = "whatsapp", business: str = BUSINESS) -> Pair:
    return Pair.of(TENANT, channel, business, customer)


def a_request(request_id: str = "r1", *, customer: str = CUSTOMER, **fields: Any) -> MessageSend:
    return MessageSend(
        **{
            "request_id": request_id,
            "channel": "whatsapp",
            "business_address": BUSINESS,
            "customer_address": customer,
            "requested_at": NOON,
            "content": HELLO,
            "purpose": "chat",
            **fields,
        }
    )


def a_send(request_id: str = "r1", *, request: MessageSend | None = None, **fields: Any) -> Send:
    asked = request or a_request(request_id)
    pair = Pair.of(TENANT, asked.channel, asked.business_address, asked.customer_address)
    return Send(
        **{
            "pair": pair,
            "request": asked,
            "cause": Cause(TENANT, f"cause-{asked.request_id}", "correlation", "causation"),
            "arrived_at": NOON,
            **fields,
        }
    )


def a_sending_one(request_id: str = "r1", **fields: Any) -> Send:
    return a_send(
        request_id,
        **{
            "state": SendState.SENDING,
            "attempt": 1,
            "lease_until": NOON + RULES.lease,
            "judged_by": NOON - SECOND,
            "provider": "whatsapp_cloud",
            **fields,
        },
    )


def a_template(
    name: str = "come_back", language: str = "en", parameters: tuple[str, ...] = ("Ann",)
) -> Template:
    body = {"type": "body", "parameters": [{"type": "text", "text": one} for one in parameters]}
    return Template(name=name, language=language, components=(body,))


def a_template_fact(**fields: Any) -> TemplateFact:
    return TemplateFact(
        **{"name": "come_back", "language": "en", "state": "approved", "parameters": 1, **fields}
    )


def a_line(**fields: Any) -> Line:
    return Line(
        **{
            "key": SENDER,
            "provider": "whatsapp_cloud",
            "base_url": None,
            "provider_account": ACCOUNT,
            "secret_ref": "CLOUD_TOKEN",
            **fields,
        }
    )


def a_ledger(ago: timedelta = timedelta(minutes=1), **fields: Any) -> Ledger:
    """The ledger of a customer who wrote so long ago."""
    return Ledger(**{"last_inbound_at": NOON - ago, **fields})


def facts(**fields: Any) -> Facts:
    """Facts by which a text may go at noon."""
    return Facts(
        **{
            "ledger": a_ledger(),
            "heard": Heard(read_up_to=NOON, documents_up_to=NOON),
            "line": a_line(),
            "templates": {"come_back": [a_template_fact()]},
            "halted": None,
            **fields,
        }
    )


def a_pair_state(**fields: Any) -> PairState:
    return PairState(**{"pair": a_pair(), "ledger": a_ledger(), "next_turn_at": NOON, **fields})


def a_sender(**fields: Any) -> Sender:
    return Sender(**{"key": SENDER, **fields})


def a_message(content: Content = HELLO, request_id: str = "r1", **fields: Any) -> Message:
    return Message(
        **{
            "send": a_sending_one(request=a_request(request_id, content=content)),
            "line": a_line(),
            "content": content,
            **fields,
        }
    )


def a_receipt(status: str = "sent", request_id: str | None = "r1", **fields: Any) -> Receipt:
    return Receipt.model_validate(
        {
            "provider": "whatsapp_cloud",
            "correlation_id": None if request_id is None else f"{TENANT}|{request_id}",
            "provider_message_id": "wamid.1",
            "status": status,
            "at": NOON,
            **fields,
        }
    )


def a_word(
    sent_at: datetime = NOON - SECOND, *, customer: str = CUSTOMER, message_id: str = "m1", **fields: Any
) -> MessageReceived:
    return MessageReceived(
        **{
            "channel": "whatsapp",
            "business_address": BUSINESS,
            "customer_address": customer,
            "provider": "whatsapp_cloud",
            "provider_message_id": message_id,
            "sent_at": sent_at,
            "received_at": sent_at,
            "content": HELLO,
            **fields,
        }
    )


def a_channel_document(**fields: Any) -> ChannelDocument:
    return ChannelDocument(
        **{
            "id": "main",
            "revision": 1,
            "channel": "whatsapp",
            "provider": "whatsapp_cloud",
            "business_address": BUSINESS,
            "provider_account": ACCOUNT,
            "secret_ref": "CLOUD_TOKEN",
            **fields,
        }
    )


def a_template_document(**fields: Any) -> TemplateDocument:
    return TemplateDocument(
        **{
            "id": "come_back_en",
            "revision": 1,
            "name": "come_back",
            "language": "en",
            "category": "utility",
            "state": "approved",
            "parameters": 1,
            **fields,
        }
    )


def an_event(
    data: Model, *, at: datetime = NOON, event_id: str | None = None, source: str = "test"
) -> Event[Model]:
    return Event(
        id=event_id or f"{type(data).__name__}-{hash(data.model_dump_json())}",
        source=source,
        type=catalogue.type_of(type(data)),
        subject="test",
        time=at,
        tenant_id=TENANT,
        data=data,
    )
