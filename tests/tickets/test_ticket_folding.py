"""A batch of chat facts, commands and documents folded in order: what is saved, said and refused."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.tickets.app import HANDLES
from services.tickets.decisions.folding import Folded, fold, wanted
from services.tickets.model import DocumentKey, Facts, PairKey, Ticket, TicketKey
from shared.contracts.agents import AgentChanged
from shared.contracts.event import Event, Model
from shared.contracts.ticket_commands import TicketCommand
from shared.contracts.tickets import (
    TicketAssigned,
    TicketClosed,
    TicketCommandRefused,
    TicketFact,
    TicketOpened,
)
from tests.tickets.builders import (
    NOON,
    TENANT,
    a_department,
    a_ticket,
    an_agent,
    an_event,
    assigned,
    at,
    chat_closed,
    diverted,
    finish,
    give,
    message_added,
    noted,
    pair_key,
    queued,
    recorded,
    the_agent,
)


def _fold(*data: Model, facts: Facts | None = None) -> Folded:
    return fold(facts or Facts(), [an_event(one) for one in data], at(1))


def _said(folded: Folded) -> list[type[Model]]:
    return [type(event.data) for event in folded.outgoing]


def test_the_life_of_a_ticket_is_told_with_versions_that_have_no_gap() -> None:
    folded = _fold(
        an_agent("ada"),
        diverted(version=3),
        message_added(version=4, received_at=at(1)),
        give(to="ada"),
        finish(by=the_agent("ada")),
    )

    facts = [event.data for event in folded.outgoing]
    assert [type(fact) for fact in facts] == [TicketOpened, TicketAssigned, TicketClosed]
    assert [fact.version for fact in facts if isinstance(fact, TicketFact)] == [1, 2, 3]
    closed = facts[-1]
    assert isinstance(closed, TicketClosed)
    assert (closed.chat_version, closed.close_reason, closed.agent_id) == (4, "done", "ada")
    assert closed.last_message_at == at(1)


def test_events_name_their_cause_and_travel_under_their_pair() -> None:
    cause = an_event(diverted())

    (opened,) = fold(Facts(), [cause], at(1)).outgoing

    assert (opened.causation_id, opened.pair_key, opened.subject, opened.time) == (
        cause.id,
        pair_key(),
        "t1",
        at(1),
    )


def test_a_ticket_keeps_the_key_it_was_opened_under_when_its_chat_is_keyed_anew() -> None:
    moved = an_event(assigned(version=4), pair="acme:whatsapp:+4930111:+491709999999")

    (closed,) = fold(Facts(tickets={a_ticket().key: a_ticket()}), [moved], at(1)).outgoing

    assert closed.pair_key == pair_key()


def test_the_same_event_decided_again_says_the_same_with_the_same_id() -> None:
    events = [an_event(diverted()), an_event(finish())]

    assert fold(Facts(), events, at(1)).outgoing == fold(Facts(), events, at(1)).outgoing


def test_a_refusal_answers_the_command_and_tells_what_the_ticket_was() -> None:
    command = an_event(finish(by=the_agent("bob")), event_id="command-1")
    ticket = a_ticket(state="assigned", agent="ada", version=2)

    (refusal,) = fold(Facts(tickets={ticket.key: ticket}), [command], at(1)).outgoing

    assert refusal.data == TicketCommandRefused(
        command_id="command-1",
        reason="not_your_ticket",
        by=the_agent("bob"),
        ticket_id="t1",
        chat_id="c1",
        version=2,
    )
    assert refusal.pair_key == pair_key()


def test_a_command_on_an_unknown_ticket_is_refused_without_a_pair() -> None:
    (refusal,) = _fold(finish("t9")).outgoing

    assert isinstance(refusal.data, TicketCommandRefused)
    assert (refusal.data.reason, refusal.pair_key) == ("unknown_ticket", None)


def test_another_tenants_ticket_is_unknown() -> None:
    ticket = a_ticket(tenant="other")

    (refusal,) = _fold(finish("t1"), facts=Facts(tickets={ticket.key: ticket})).outgoing

    assert isinstance(refusal.data, TicketCommandRefused)
    assert refusal.data.reason == "unknown_ticket"


def test_a_divert_without_a_ticket_id_is_put_aside_and_its_neighbours_are_not() -> None:
    folded = _fold(diverted("c8", ticket=None, customer="+4917088"), diverted("c1"))

    assert folded.without_ticket == [0]
    assert _said(folded) == [TicketOpened]


def test_a_document_counts_unless_a_newer_revision_was_read_before() -> None:
    key = DocumentKey(TENANT, "agent", "ada")
    known = Facts(documents={key: an_agent("ada", revision=3, retired=True)})

    folded = _fold(an_agent("ada", revision=2), diverted(), give(to="ada"), facts=known)

    assert folded.documents == {}
    assert _said(folded) == [TicketOpened, TicketCommandRefused]


def test_an_agent_may_be_given_a_ticket_from_the_event_that_names_them() -> None:
    folded = _fold(diverted(), give(to="ada"), an_agent("ada"), give(to="ada"))

    assert _said(folded) == [TicketOpened, TicketCommandRefused, TicketAssigned]


def test_a_ticket_stays_whose_it_is_when_they_leave_and_its_customer_writes_on() -> None:
    folded = _fold(
        an_agent("ada"),
        diverted(version=3),
        give(to="ada"),
        AgentChanged(agent_id="ada", state="offline", cause="lost", since=NOON, version=2),
        message_added(version=4, received_at=at(1)),
        queued(version=5),
        diverted(version=6),
    )

    (ticket,) = folded.tickets.values()
    assert (ticket.state, ticket.agent_id) == ("assigned", "ada")
    assert _said(folded) == [TicketOpened, TicketAssigned]
    assert "chatdesk.agent.changed.v1" not in HANDLES


def test_a_record_within_the_chat_raises_the_version_that_a_close_names() -> None:
    folded = _fold(diverted(version=3), recorded(version=4), finish())

    closed = folded.outgoing[-1].data
    assert isinstance(closed, TicketClosed)
    assert closed.chat_version == 4


def test_a_batch_asks_for_what_it_is_about_and_nothing_else() -> None:
    keys = wanted(
        [
            an_event(message_added(ticket="t1")),
            an_event(assigned("c7", ticket=None, customer="+4917077")),
            an_event(recorded("c2", customer="+4917022")),
            an_event(give("t3", to="ada")),
            an_event(finish("t4")),
            an_event(a_department("sales")),
        ]
    )

    assert keys.pairs == {PairKey(TENANT, pair_key()), PairKey(TENANT, pair_key("+4917022"))}
    assert keys.tickets == {TicketKey(TENANT, "t1"), TicketKey(TENANT, "t3"), TicketKey(TENANT, "t4")}
    assert keys.documents == {
        DocumentKey(TENANT, "agent", "ada"),
        DocumentKey(TENANT, "department", "sales"),
    }


_TICKETS = st.sampled_from(["t1", "t2", "t3"])
_CHATS = st.sampled_from(["c1", "c2"])
_CUSTOMERS = st.sampled_from(["+491700000001", "+491700000002"])
_VERSIONS = st.integers(min_value=1, max_value=9)
_WHO = st.sampled_from([the_agent("ada"), the_agent("bob")])

_ANYTHING: st.SearchStrategy[Model] = st.one_of(
    st.builds(diverted, _CHATS, version=_VERSIONS, ticket=_TICKETS, customer=_CUSTOMERS),
    st.builds(queued, _CHATS, version=_VERSIONS, ticket=_TICKETS, customer=_CUSTOMERS),
    st.builds(assigned, _CHATS, version=_VERSIONS, ticket=_TICKETS, customer=_CUSTOMERS),
    st.builds(message_added, _CHATS, version=_VERSIONS, ticket=_TICKETS, customer=_CUSTOMERS),
    st.builds(
        chat_closed,
        _CHATS,
        version=_VERSIONS,
        ticket=_TICKETS,
        reason=st.sampled_from(["continued", "closed"]),
        customer=_CUSTOMERS,
    ),
    st.builds(
        noted, _CHATS, version=_VERSIONS, ticket=_TICKETS, customer=_CUSTOMERS, state=st.just("diverted")
    ),
    st.builds(recorded, _CHATS, version=_VERSIONS, customer=_CUSTOMERS),
    st.builds(give, _TICKETS, to=st.sampled_from(["ada", "bob", "nobody"])),
    st.builds(finish, _TICKETS),
    st.builds(finish, _TICKETS, by=_WHO),
    st.builds(an_agent, st.sampled_from(["ada", "bob"]), revision=_VERSIONS),
)


def _batches(events: Sequence[Event[Any]], cuts: Sequence[int]) -> list[Sequence[Event[Any]]]:
    borders = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    return [events[start:end] for start, end in pairwise(borders)]


def _known_then(facts: Facts, events: Sequence[Event[Any]]) -> Facts:
    """What a store would load for a batch: the wanted tickets, the open ones of its pairs, documents."""
    keys = wanted(events)
    pairs = keys.pairs | {ticket.lock for key, ticket in facts.tickets.items() if key in keys.tickets}

    def asked_for(ticket: Ticket) -> bool:
        return ticket.lock in pairs and (ticket.is_open or ticket.key in keys.tickets)

    return Facts(
        {key: ticket for key, ticket in facts.tickets.items() if asked_for(ticket)},
        {key: document for key, document in facts.documents.items() if key in keys.documents},
    )


@given(st.lists(_ANYTHING, max_size=30), st.lists(st.integers(min_value=0, max_value=30), max_size=4))
def test_whatever_is_said_in_whatever_batches_a_pair_has_one_open_ticket_and_versions_no_gap(
    data: list[Model], cuts: list[int]
) -> None:
    events = [an_event(one, time=NOON) for one in data]
    tickets: dict[TicketKey, Ticket] = {}
    facts = Facts(tickets, {})
    said: list[Event[Any]] = []
    for batch in _batches(events, cuts):
        folded = fold(_known_then(facts, batch), batch, at(1))
        facts = Facts({**facts.tickets, **folded.tickets}, {**facts.documents, **folded.documents})
        said += folded.outgoing

        open_pairs = [ticket.lock for ticket in facts.tickets.values() if ticket.is_open]
        assert len(open_pairs) == len(set(open_pairs))

    whole = fold(Facts(), events, at(1))
    assert said == whole.outgoing
    assert facts == Facts(whole.tickets, whole.documents)
    versions: dict[str, list[int]] = {}
    ended: set[str] = set()
    for event in said:
        if isinstance(event.data, TicketFact):
            assert event.data.ticket_id not in ended
            ended |= {event.data.ticket_id} if event.data.state == "closed" else set()
            versions.setdefault(event.data.ticket_id, []).append(event.data.version)
    assert all(found == list(range(1, len(found) + 1)) for found in versions.values())
    assert {key.ticket_id: ticket.version for key, ticket in facts.tickets.items()} == {
        ticket_id: found[-1] for ticket_id, found in versions.items()
    }
    commands = [event.id for event in events if isinstance(event.data, TicketCommand)]
    answers = [event.causation_id for event in said if event.causation_id in commands]
    assert answers == commands
