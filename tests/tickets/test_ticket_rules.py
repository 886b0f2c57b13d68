"""Each rule of tickets as a table: what is known, what happens, what becomes of the ticket."""

from dataclasses import replace

import pytest

from services.tickets.decisions import rules
from services.tickets.model import (
    Assigned,
    Closed,
    CloseReason,
    Followed,
    Moved,
    NewTicket,
    Opened,
    Reason,
    Ticket,
    TicketKey,
)
from shared.contracts.actors import Actor
from shared.contracts.chats import ChatFact
from shared.contracts.ticket_commands import TicketAssign, TicketClose
from tests.tickets.builders import (
    SUPERVISOR,
    TENANT,
    a_ticket,
    an_agent,
    assigned,
    at,
    chat_closed,
    diverted,
    finish,
    give,
    message_added,
    moved,
    noted,
    pair_key,
    queued,
    recorded,
    the_agent,
)

NEW = NewTicket(TicketKey(TENANT, "t1"), pair_key(), at(5))


def test_a_divert_opens_an_unassigned_ticket_that_knows_why_and_when_somebody_is_back() -> None:
    chat = diverted(reason="outside_business_hours", next_open_at=at(900), last_inbound_at=at(4))

    (opened,) = rules.on_divert(chat, NEW, None, None)

    assert opened == Opened(
        replace(
            a_ticket(last_message_at=at(4)),
            reason="outside_business_hours",
            opened_at=at(5),
            next_open_at=at(900),
        )
    )


def test_a_ticket_whose_chat_has_no_inbound_message_counts_from_its_divert() -> None:
    (opened,) = rules.on_divert(diverted(last_inbound_at=None), NEW, None, None)

    assert opened.ticket.last_message_at == at(5)


def test_a_chat_diverted_again_under_its_ticket_waits_again_and_stays_whose_it_is() -> None:
    ticket = a_ticket(state="assigned", agent="ada", version=2)
    again = diverted(version=9, reason="waited_too_long", last_inbound_at=at(30), department="service")

    (followed,) = rules.on_divert(again, NEW, ticket, None)

    assert followed == Followed(
        replace(ticket, chat_version=9, reason="waited_too_long", last_message_at=at(30))
    )


@pytest.mark.parametrize("state", ["diverted", "queued"])
def test_a_chat_that_moves_takes_its_ticket_along_and_leaves_it_with_its_agent(state: str) -> None:
    ticket = a_ticket(state="assigned", agent="ada", version=2)

    change = rules.on_chat(moved("care", state=state, version=7), ticket)

    assert change == Moved(
        replace(ticket, version=3, chat_version=7, department_id="care"), rules.SYSTEM, ticket.department_id
    )


def test_a_divert_under_a_closed_ticket_changes_nothing() -> None:
    assert rules.on_divert(diverted(version=9), NEW, a_ticket(state="closed"), None) == ()


def test_a_divert_under_another_ticket_ends_the_pairs_old_one_first() -> None:
    old = a_ticket("t0", version=2, state="assigned", agent="ada")

    closed, opened = rules.on_divert(diverted(), NEW, None, old)

    assert isinstance(closed, Closed)
    assert closed.reason is CloseReason.SUPERSEDED_BY_TICKET
    assert (closed.ticket.key.ticket_id, closed.ticket.version) == ("t0", 3)
    assert isinstance(opened, Opened)


@pytest.mark.parametrize(
    ("chat", "chat_version", "last_message_at"),
    [
        pytest.param(queued(version=4), 4, at(0), id="a queued chat is still the ticket's"),
        pytest.param(noted(version=5), 5, at(0), id="a note on the chat counts as seen"),
        pytest.param(message_added(version=4, received_at=at(7)), 4, at(7), id="a message moves it up"),
        pytest.param(
            message_added(version=4, received_at=at(-7)), 4, at(0), id="a late message does not move it down"
        ),
        pytest.param(
            message_added(version=4, received_at=at(7), direction="outbound"),
            4,
            at(0),
            id="our own message does not move it up",
        ),
    ],
)
def test_an_open_ticket_follows_its_chat(chat: ChatFact, chat_version: int, last_message_at: object) -> None:
    followed = rules.on_chat(chat, a_ticket())

    assert isinstance(followed, Followed)
    assert followed.ticket.chat_version == chat_version
    assert followed.ticket.last_message_at == last_message_at
    assert followed.ticket.version == 1


def test_a_ticket_follows_its_id_to_the_chat_that_takes_it_over_and_counts_that_chats_versions() -> None:
    followed = rules.on_chat(queued("c2", version=2), a_ticket(chat_version=8))

    assert isinstance(followed, Followed)
    assert (followed.ticket.chat_id, followed.ticket.chat_version) == ("c2", 2)


@pytest.mark.parametrize(
    ("chat", "reason", "by"),
    [
        pytest.param(
            assigned(version=7), CloseReason.SUPERSEDED_BY_CHAT, rules.SYSTEM, id="an agent got the chat"
        ),
        pytest.param(
            noted(version=7, state="pending"),
            CloseReason.SUPERSEDED_BY_CHAT,
            rules.SYSTEM,
            id="an agent holds the chat, whichever fact says so",
        ),
        pytest.param(
            chat_closed(version=7, by=Actor(role="customer")),
            CloseReason.CHAT_CLOSED,
            Actor(role="customer"),
            id="the chat ended under it",
        ),
    ],
)
def test_a_ticket_ends_with_what_it_stood_for(chat: ChatFact, reason: CloseReason, by: Actor) -> None:
    closed = rules.on_chat(chat, a_ticket(version=2, state="assigned", agent="ada"))

    assert isinstance(closed, Closed)
    assert (closed.reason, closed.by) == (reason, by)
    assert (closed.ticket.state, closed.ticket.version, closed.ticket.chat_version) == ("closed", 3, 7)


@pytest.mark.parametrize(
    ("chat", "ticket"),
    [
        pytest.param(message_added(), None, id="a ticket nobody knows"),
        pytest.param(assigned(), a_ticket(state="closed"), id="a ticket that is closed"),
        pytest.param(chat_closed(reason="continued"), a_ticket(), id="a chat that another one continues"),
        pytest.param(chat_closed("c1"), a_ticket(chat="c2"), id="a chat that handed the ticket on"),
        pytest.param(noted(state="closed"), a_ticket(), id="a note on a chat that is closed"),
    ],
)
def test_these_facts_change_no_ticket(chat: ChatFact, ticket: Ticket | None) -> None:
    assert rules.on_chat(chat, ticket) is None


def test_what_is_put_on_record_within_the_chat_counts_as_seen() -> None:
    assert rules.on_recorded(recorded(version=6), a_ticket()) == Followed(a_ticket(chat_version=6))


@pytest.mark.parametrize("ticket", [None, a_ticket(chat="c2")], ids=["no ticket", "another chat's ticket"])
def test_a_record_elsewhere_changes_no_ticket(ticket: Ticket | None) -> None:
    assert rules.on_recorded(recorded("c1"), ticket) is None


@pytest.mark.parametrize(
    ("ticket", "previous"),
    [
        pytest.param(a_ticket(), None, id="an unassigned one"),
        pytest.param(a_ticket(state="assigned", agent="bob"), "bob", id="one that another agent has"),
        pytest.param(a_ticket(state="assigned", agent="ada"), "ada", id="one they have already"),
    ],
)
def test_a_supervisor_assigns_any_open_ticket_to_any_agent(ticket: Ticket, previous: str | None) -> None:
    given = rules.assign(give(to="ada"), ticket, an_agent("ada"))

    assert given == Assigned(
        replace(ticket, version=2, state="assigned", agent_id="ada"), SUPERVISOR, previous, None
    )


_ADMIN, _CUSTOMER, _SYSTEM = Actor(role="admin", id="al"), Actor(role="customer"), Actor(role="system")


@pytest.mark.parametrize(
    ("command", "ticket", "agent", "reason"),
    [
        pytest.param(give(), None, an_agent(), Reason.UNKNOWN_TICKET, id="no such ticket"),
        pytest.param(give(), a_ticket(state="closed"), an_agent(), Reason.TICKET_CLOSED, id="a closed one"),
        pytest.param(give(), a_ticket(), None, Reason.UNKNOWN_AGENT, id="nobody of that id"),
        pytest.param(
            give(), a_ticket(), an_agent(retired=True), Reason.UNKNOWN_AGENT, id="somebody who is going"
        ),
        pytest.param(
            give(),
            a_ticket(),
            an_agent(roles=("supervisor",)),
            Reason.UNKNOWN_AGENT,
            id="somebody who is no agent",
        ),
        pytest.param(
            give(by=the_agent("ada")), a_ticket(), an_agent(), Reason.ROLE_NOT_ALLOWED, id="by an agent"
        ),
        pytest.param(
            give(by=_CUSTOMER), a_ticket(), an_agent(), Reason.ROLE_NOT_ALLOWED, id="by the customer"
        ),
        pytest.param(
            give(expected=1), a_ticket(version=2), an_agent(), Reason.STALE_VERSION, id="upon an old view"
        ),
    ],
)
def test_an_assignment_is_refused(
    command: TicketAssign, ticket: Ticket | None, agent: object, reason: Reason
) -> None:
    assert rules.assign(command, ticket, agent) is reason  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("command", "ticket"),
    [
        pytest.param(finish(), a_ticket(), id="a supervisor, an unassigned one"),
        pytest.param(finish(), a_ticket(state="assigned", agent="ada"), id="a supervisor, an agent's"),
        pytest.param(
            finish(by=the_agent("ada")), a_ticket(state="assigned", agent="ada"), id="an agent, their own"
        ),
        pytest.param(finish(expected=1), a_ticket(version=1), id="upon the newest view"),
    ],
)
def test_a_ticket_is_closed_at_the_chats_version_it_has_seen(command: TicketClose, ticket: Ticket) -> None:
    closed = rules.close(command, ticket)

    assert isinstance(closed, Closed)
    assert (closed.by, closed.reason, closed.note, closed.tags) == (
        command.by,
        CloseReason.DONE,
        "done",
        ("refund",),
    )
    assert closed.ticket == replace(ticket, version=2, state="closed", close_reason="done")


@pytest.mark.parametrize(
    ("command", "ticket", "reason"),
    [
        pytest.param(finish(), None, Reason.UNKNOWN_TICKET, id="no such ticket"),
        pytest.param(finish(), a_ticket(state="closed"), Reason.TICKET_CLOSED, id="closed already"),
        pytest.param(
            finish(by=the_agent("bob")),
            a_ticket(state="assigned", agent="ada"),
            Reason.NOT_YOUR_TICKET,
            id="another agent's",
        ),
        pytest.param(finish(by=the_agent("ada")), a_ticket(), Reason.NOT_YOUR_TICKET, id="nobody's yet"),
        pytest.param(
            finish(by=Actor(role="agent")), a_ticket(), Reason.NOT_YOUR_TICKET, id="an agent without an id"
        ),
        pytest.param(finish(by=_CUSTOMER), a_ticket(), Reason.ROLE_NOT_ALLOWED, id="by the customer"),
        pytest.param(finish(by=_SYSTEM), a_ticket(), Reason.ROLE_NOT_ALLOWED, id="by a machine"),
        pytest.param(finish(expected=1), a_ticket(version=2), Reason.STALE_VERSION, id="upon an old view"),
    ],
)
def test_closing_is_refused(command: TicketClose, ticket: Ticket | None, reason: Reason) -> None:
    assert rules.close(command, ticket) is reason


def test_an_admin_assigns_and_closes_like_a_supervisor() -> None:
    assert isinstance(rules.assign(give(by=_ADMIN), a_ticket(), an_agent()), Assigned)
    assert isinstance(rules.close(finish(by=_ADMIN), a_ticket()), Closed)
