from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.contracts import topics_yaml
from shared.contracts.catalogue import (
    DEAD_LETTER_TOPICS,
    TOPICS,
    body_of,
    digest_of,
    fact,
    is_compacted,
    key_of,
    model_of,
    topic_of,
    type_of,
    types,
    version_of,
)
from shared.contracts.chats import ChatQueued
from shared.contracts.errors import Rejected
from shared.contracts.event import Cause, Event, Model
from shared.contracts.topics import DEAD_LETTER_TYPES
from tests.contracts.builders import PAIR_KEY, RECEIVED, SEND, an_event
from tests.contracts.examples import NOON, full_data

ROOT = Path(__file__).parents[2]


def test_the_topics_file_is_written_from_the_catalogue() -> None:
    assert (ROOT / "deploy/topics.yaml").read_text() == topics_yaml()


def test_every_type_has_one_model_and_lives_on_one_topic() -> None:
    listed = [(wire_type, model) for topic in TOPICS for wire_type, model in topic.types.items()]

    assert len({wire_type for wire_type, _ in listed}) == len({model for _, model in listed}) == len(listed)
    assert set(types()) == {wire_type for wire_type, _ in listed} | set(DEAD_LETTER_TYPES)
    for wire_type, model in listed:
        assert model_of(wire_type) is model
        assert type_of(model) == wire_type
        assert wire_type in next(topic.types for topic in TOPICS if topic.name == topic_of(wire_type))


def test_every_service_has_its_dead_letters() -> None:
    said = {service for topic in TOPICS for service in (*topic.says, *topic.hears)}

    assert {topic.name for topic in DEAD_LETTER_TOPICS} == {f"{service}.dead-letters.v1" for service in said}


def test_a_compacted_topic_is_one_whose_last_record_of_a_key_says_all() -> None:
    compacted = {topic.name for topic in TOPICS if is_compacted(topic.name)}

    assert compacted == {"pairs.v1", "senders.v1", "agents.v1", "directory.v1", "customers.v1"}


def test_a_type_nobody_knows_is_rejected() -> None:
    for lookup in (topic_of, model_of):
        with pytest.raises(Rejected, match="unknown_type"):
            lookup("chatdesk.message.sung.v1")


KEYS: dict[str, tuple[Event[Model], str]] = {
    "a message: its pair": (an_event(), PAIR_KEY),
    "a fact about a chat: the pair that is written on it": (
        an_event("chatdesk.chat.opened.v1", pairkey="acme:sms:1:2"),
        "acme:sms:1:2",
    ),
    "a changed identity: the old address's pair": (
        an_event("chatdesk.provider.identity_changed.v1"),
        PAIR_KEY,
    ),
    "a command with its pair": (an_event("chatdesk.chat.reply.v1", pairkey=PAIR_KEY), PAIR_KEY),
    "a command without a pair: its chat": (
        an_event("chatdesk.chat.reply.v1", {"chat_id": "a:b/c"}),
        "acme:chat:a%3Ab%2Fc",
    ),
    "reaching out from a ticket": (
        an_event("chatdesk.chat.reach_out.v1", {"from": {"ticket_id": "ticket-1"}}),
        "acme:ticket:ticket-1",
    ),
    "a refusal of a chat's command": (
        an_event("chatdesk.chat.command_refused.v1", {"chat_id": "chat-1"}),
        "acme:chat:chat-1",
    ),
    "a refusal without a chat": (
        an_event("chatdesk.chat.command_refused.v1"),
        "acme:command:command-1",
    ),
    "a refusal of a ticket's command": (
        an_event("chatdesk.ticket.command_refused.v1", {"ticket_id": "ticket-1"}),
        "acme:ticket:ticket-1",
    ),
    "a receipt that names its pair": (
        an_event(
            "chatdesk.provider.receipt.v1",
            {"channel": "whatsapp", "business_address": "+27110000000", "customer_address": "27820000001"},
        ),
        PAIR_KEY,
    ),
    "a receipt that names its message alone": (
        an_event("chatdesk.provider.receipt.v1", {"provider_message_id": "wamid.1"}),
        "acme:receipt:wamid.1",
    ),
    "a changed template": (an_event("chatdesk.provider.template_changed.v1"), "acme:template:Sales"),
    "a provider's changed sender": (
        an_event("chatdesk.provider.sender_changed.v1"),
        "acme:sender:+27110000000",
    ),
    "a changed consent at no one address of ours": (
        an_event("chatdesk.provider.consent_changed.v1"),
        "acme:consent:+27820000001",
    ),
    "a signal: the agent, whatever pair is written on it": (
        an_event("chatdesk.agent.heartbeat.v1", pairkey=PAIR_KEY),
        "acme:agent-7",
    ),
    "an agent's state": (an_event("chatdesk.agent.changed.v1"), "acme:agent-7"),
    "a sender": (an_event("chatdesk.sender.changed.v1"), "acme:whatsapp_cloud:+27110000000"),
    "a command to a sender": (an_event("chatdesk.sender.halt.v1"), "acme:whatsapp_cloud:+27110000000"),
    "a document: its kind and id": (
        an_event("chatdesk.directory.routing_rules.v1"),
        "acme:routing_rules:sales",
    ),
    "a customer": (an_event("chatdesk.customer.erased.v1"), "acme:customer:customer-1"),
    "a command on a ticket": (an_event("chatdesk.ticket.close.v1"), "acme:ticket:ticket-1"),
    "the next ticket: the agent who asks": (an_event("chatdesk.ticket.accept_next.v1"), "acme:agent-7"),
}


@pytest.mark.parametrize("name", KEYS)
def test_the_key_of(name: str) -> None:
    event, key = KEYS[name]

    assert key_of(event) == key


@pytest.mark.parametrize("wire_type", types())
def test_every_type_has_a_key_of_its_tenant(wire_type: str) -> None:
    assert key_of(an_event(wire_type)).startswith("acme:")


SAME: dict[str, tuple[Event[Model], Event[Model]]] = {
    "a message published again under another id": (an_event(), an_event(id="2", source="gateway")),
    "a message to a differently written address of ours": (
        an_event(),
        an_event(data={"business_address": "whatsapp:27 11 000 0000"}),
    ),
    "a send requested again": (an_event(SEND), an_event(SEND, id="2", source="another")),
    "any other event with the same source and id": (
        an_event("chatdesk.chat.close.v1"),
        an_event("chatdesk.chat.close.v1", {"note": "again"}, time="2026-11-23T12:00:00Z"),
    ),
}
OTHER: dict[str, tuple[Event[Model], Event[Model]]] = {
    "a message of another tenant": (an_event(), an_event(tenantid="other")),
    "a message of another provider": (an_event(), an_event(data={"provider": "clickatell"})),
    "a message to another of our addresses": (an_event(), an_event(data={"business_address": "+1"})),
    "an edit under the message's own id": (
        an_event(data={"provider_message_id": "wamid.1"}),
        an_event("chatdesk.message.edited.v1", {"provider_message_id": "wamid.1"}),
    ),
    "parts that look alike when they are joined": (
        an_event("chatdesk.chat.close.v1", source="a", id="b:c"),
        an_event("chatdesk.chat.close.v1", source="a:b", id="c"),
    ),
    "an id that imitates the border between parts": (
        an_event("chatdesk.chat.close.v1", source="a", id="1:b1:c"),
        an_event("chatdesk.chat.close.v1", source="a1:b", id="1:c"),
    ),
    "another request": (an_event(SEND), an_event(SEND, {"request_id": "request-2"})),
    "another source": (an_event("chatdesk.chat.close.v1"), an_event("chatdesk.chat.close.v1", source="b")),
}


@pytest.mark.parametrize("name", SAME)
def test_it_is_the_same_event(name: str) -> None:
    one, again = SAME[name]

    assert digest_of(one) == digest_of(again)
    assert len(digest_of(one)) == 16


@pytest.mark.parametrize("name", OTHER)
def test_it_is_another_event(name: str) -> None:
    one, other = OTHER[name]

    assert digest_of(one) != digest_of(other)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"requested_at": "2026-11-23T12:00:00Z"}, True),
        ({"content": {"kind": "text", "text": "Another"}}, False),
        ({"customer_address": "+27820000002"}, False),
        ({"purpose": "survey"}, False),
        ({"by": {"role": "agent", "id": "agent-7"}}, False),
    ],
)
def test_the_body_of_a_send_is_all_it_asks_for_but_when_it_was_asked(
    change: dict[str, Any], *, same: bool
) -> None:
    assert (body_of(an_event(SEND)) == body_of(an_event(SEND, change))) is same


def test_the_body_of_a_send_does_not_depend_on_the_order_of_its_fields() -> None:
    one = {"kind": "contacts", "contacts": [{"a": 1, "b": 2}]}
    other = {"contacts": [{"b": 2, "a": 1}], "kind": "contacts"}

    assert body_of(an_event(SEND, {"content": one})) == body_of(an_event(SEND, {"content": other}))


def test_only_sends_have_a_body() -> None:
    assert body_of(an_event(RECEIVED)) is None


VERSIONS: dict[str, tuple[Event[Model], tuple[str, int] | None]] = {
    "a chat's fact": (an_event("chatdesk.chat.opened.v1", {"version": 1}), ("acme:chat:chat-1", 1)),
    "a ticket's fact": (an_event("chatdesk.ticket.closed.v1", {"version": 4}), ("acme:ticket:ticket-1", 4)),
    "what is recorded within a chat": (
        an_event("chatdesk.chat.recorded.v1", {"chat_id": "chat-1", "version": 3}),
        ("acme:chat:chat-1", 3),
    ),
    "what is recorded outside a chat": (an_event("chatdesk.chat.recorded.v1"), None),
    "a refused command": (
        an_event("chatdesk.chat.command_refused.v1", {"chat_id": "chat-1", "version": 3}),
        None,
    ),
    "an agent's state, which may skip versions": (an_event("chatdesk.agent.changed.v1"), None),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_the_version_of(name: str) -> None:
    event, version = VERSIONS[name]

    assert version_of(event) == version


def _queued(cause: Cause, **told: Any) -> Event[Model]:
    data = ChatQueued.model_validate(full_data(ChatQueued))
    return fact(cause, data, source="routing", subject="chat-1", time=NOON, **told)


def test_a_fact_decided_again_is_the_same_and_carries_its_cause() -> None:
    cause = an_event(correlationid="correlation-1").as_cause()
    event = _queued(cause)

    assert _queued(cause) == event
    assert event.type == "chatdesk.chat.queued.v1"
    assert (event.tenant_id, event.pair_key) == ("acme", PAIR_KEY)
    assert (event.correlation_id, event.causation_id) == ("correlation-1", "1")


def test_facts_of_other_causes_and_further_facts_of_one_are_others() -> None:
    cause = an_event().as_cause()
    ids = {_queued(cause).id, _queued(cause, nth=1).id, _queued(replace(cause, id="another")).id}

    assert len(ids) == 3


def test_a_fact_is_placed_by_the_pair_its_service_resolved() -> None:
    assert _queued(an_event().as_cause(), pair_key="acme:sms:1:2").pair_key == "acme:sms:1:2"
