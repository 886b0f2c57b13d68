"""The one decision point: which chat a message belongs to, and what becomes of that chat."""

from dataclasses import replace
from typing import Any

from services.routing.app import STEPS
from services.routing.decisions.floor import AGENT_LOST, SERVE_QUEUE, WAITED_TOO_LONG
from services.routing.decisions.fold import fold
from services.routing.model import Changes, Documents, Facts, Rule, State
from shared.contracts.content import Reaction, Text
from shared.contracts.inbound_messages import Hints, MessageRevoked
from shared.platform.outcome import Received
from tests.desk_events import NOON, a_message, received
from tests.routing.builders import (
    a_chat,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    facts,
)


def after(known: Facts, *batch: Received) -> Changes:
    return fold(known, batch, STEPS, NOON)


def told(changes: Changes) -> list[str]:
    return [event.type.removeprefix("chatdesk.").removesuffix(".v1") for event in changes.outcome.outgoing]


def scheduled(changes: Changes) -> set[str]:
    return {due.kind for due in changes.outcome.schedule}


def test_a_new_customer_gets_a_chat_and_the_free_agent() -> None:
    changes = after(facts(agents=(an_agent(),)), received(a_message()))
    assert told(changes) == ["chat.opened", "chat.message_added", "chat.assigned"]
    (chat,), (agent,) = changes.chats, changes.agents
    assert (chat.state, chat.agent_id, chat.version, chat.assignment_version) == (State.ASSIGNED, "ann", 3, 1)
    assert agent.load == 1


def test_one_burst_makes_one_chat() -> None:
    changes = after(facts(agents=(an_agent(),)), *(received(a_message(str(n))) for n in range(50)))
    assert told(changes).count("chat.opened") == 1
    assert told(changes).count("chat.message_added") == 50
    assert changes.agents[0].load == 1


def test_two_customers_in_a_batch_never_share_the_last_slot() -> None:
    known = facts(agents=(an_agent(load=2, capacity=3),))
    changes = after(known, received(a_message()), received(a_message(customer="+27820000002")))
    assert [chat.state for chat in changes.chats] == [State.ASSIGNED, State.QUEUED]
    assert changes.agents[0].load == 3


def test_all_full_queues_and_sets_the_wait() -> None:
    changes = after(facts(agents=(an_agent(load=3),)), received(a_message()))
    assert told(changes)[-1] == "chat.queued"
    assert {WAITED_TOO_LONG, SERVE_QUEUE} <= scheduled(changes)


def test_nobody_online_makes_a_ticket() -> None:
    changes = after(facts(), received(a_message()))
    assert told(changes)[-1] == "chat.diverted"
    assert changes.chats[0].ticket_id is not None


def test_a_new_chat_waits_behind_those_who_wait_though_somebody_is_free() -> None:
    changes = after(facts(agents=(an_agent(),), waiting=1), received(a_message()))
    assert told(changes)[-1] == "chat.queued"
    assert SERVE_QUEUE in scheduled(changes)


def test_a_message_in_an_assigned_chat_is_appended() -> None:
    known = facts(agents=(an_agent(load=1),), chats=(an_assigned_chat(last_word="business"),))
    changes = after(known, received(a_message()))
    assert told(changes) == ["chat.message_added"]
    assert changes.chats[0].last_word == "customer"
    assert not changes.agents


def test_a_message_to_an_agent_who_is_gone_is_routed_afresh() -> None:
    known = facts(
        agents=(an_agent("ann", state="offline", load=1), an_agent("bob")),
        chats=(an_assigned_chat("ann", last_word="business"),),
    )
    changes = after(known, received(a_message()))
    assert told(changes) == ["chat.message_added", "chat.assigned"]
    assert (changes.chats[0].agent_id, changes.chats[0].previous_agent_id) == ("bob", "ann")
    assert {agent.agent_id: agent.load for agent in changes.agents} == {"ann": 0, "bob": 1}


def test_an_agent_lost_while_the_department_was_not_locked_is_left_to_a_sweep() -> None:
    known = facts(
        agents=(an_agent(state="offline", load=1),), chats=(an_assigned_chat(),), locked=frozenset()
    )
    changes = after(known, received(a_message()))
    assert told(changes) == ["chat.message_added"]
    assert scheduled(changes) == {AGENT_LOST}


def test_a_ticket_s_chat_goes_on_when_somebody_is_there() -> None:
    changes = after(facts(agents=(an_agent(),), chats=(a_diverted_chat(),)), received(a_message()))
    assert told(changes) == ["chat.message_added", "chat.assigned"]
    assert changes.outcome.outgoing[-1].data.ticket_id == "ticket-1"  # type: ignore[attr-defined]
    assert changes.chats[0].ticket_id is None


def test_a_ticket_s_chat_waits_under_the_same_ticket_when_all_are_full() -> None:
    changes = after(facts(agents=(an_agent(load=3),), chats=(a_diverted_chat(),)), received(a_message()))
    assert told(changes) == ["chat.message_added", "chat.queued"]
    assert changes.chats[0].ticket_id == "ticket-1"


def test_a_ticket_s_chat_takes_messages_while_nobody_is_there() -> None:
    changes = after(facts(chats=(a_diverted_chat(),)), received(a_message()))
    assert told(changes) == ["chat.message_added"]
    assert changes.chats[0].ticket_id == "ticket-1"


def test_a_reaction_and_a_deletion_are_recorded_and_open_nothing() -> None:
    reaction = a_message(content=Reaction(emoji="👍", to="wamid-1"))
    fields = a_message().model_dump(exclude={"content"})
    changes = after(
        facts(agents=(an_agent(),)), received(reaction), received(MessageRevoked(**fields, target="x"))
    )
    assert told(changes) == ["chat.recorded", "chat.recorded"]
    assert not changes.chats


def test_what_is_recorded_in_a_live_chat_takes_its_next_version() -> None:
    chat = a_chat(version=7)
    changes = after(facts(chats=(chat,)), received(a_message(content=Reaction(emoji="👍", to="wamid-1"))))
    assert changes.chats[0].version == 8


def test_rules_send_a_message_to_its_department() -> None:
    known = facts(
        agents=(an_agent("bob", departments=frozenset({"billing"})),),
        departments=(a_department("sales"), a_department("billing")),
    )
    documents: Documents = known.directory["acme"]
    assert documents.tenant is not None
    ruled = replace(documents, tenant=replace(documents.tenant, rules=(Rule("billing", keyword="invoice"),)))
    known = replace(known, directory={"acme": ruled})
    assert after(known, received(a_message("My INVOICE is wrong"))).chats[0].department_id == "billing"
    assert after(known, received(a_message("hello"))).chats[0].department_id == "sales"


def test_a_message_of_an_unknown_tenant_is_rejected_with_a_reason() -> None:
    changes = after(Facts(), received(a_message()))
    assert [one.reason for one in changes.outcome.rejected] == ["unknown_tenant"]
    assert not changes.outcome.outgoing


def test_deciding_twice_gives_the_same_events() -> None:
    known, message = facts(agents=(an_agent(),)), received(a_message())
    assert after(known, message).outcome.outgoing == after(known, message).outcome.outgoing


def test_priority_comes_from_the_publisher_s_hint() -> None:
    hinted: Any = a_message(hints=Hints(priority=5), content=Text(text="urgent"))
    assert after(facts(agents=(an_agent(load=3),)), received(hinted)).chats[0].priority == 5
