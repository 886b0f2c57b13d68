"""Every command in every state by every role, every receiver an assignment may name: what is refused as what.

The check is made where the change commits: the last tests race for one slot on real PostgreSQL.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.fold import fold
from services.routing.model import Agent, Changes, Chat, Department, Documents, Facts, State
from shared.contracts import chats, cloudevents
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCancelOffer,
    ChatClose,
    ChatCommand,
    ChatDeclineOffer,
    ChatFlag,
    ChatMarkPending,
    ChatReply,
    ChatSetDepartment,
    ChatSetPriority,
    ChatTake,
    ChatTransfer,
    ChatUnflag,
    ChatUnmarkPending,
)
from shared.contracts.content import Text
from shared.contracts.errors import Rejected
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, received
from tests.routing.builders import (
    ANN,
    BOB,
    SUE,
    a_calendar,
    a_chat,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    an_offer,
    facts,
)
from tests.routing.contact import WORKERS, Contact

ACTORS = {
    "ann": Actor(role="agent", id="ann"),
    "bob": Actor(role="agent", id="bob"),
    "an agent": Actor(role="agent"),
    "sue": SUE,
    "an admin": Actor(role="admin", id="ada"),
    "a customer": Actor(role="customer"),
    "the system": Actor(role="system"),
}
STATES: dict[str, Chat] = {
    "queued": a_chat(),
    "ann's": an_assigned_chat("ann"),
    "sue's": an_assigned_chat("sue"),
    "pending ann's": an_assigned_chat("ann", state=State.PENDING),
    "offered to bob": an_assigned_chat("ann", offer=an_offer("bob")),
    "diverted": a_diverted_chat(),
    "closed": an_assigned_chat("ann", state=State.CLOSED),
    "unknown": a_chat("+27829999999"),
    "another tenant's": an_assigned_chat("ann", tenant_id="globex"),
}
TABLE = """
command        chat           | ann              bob              an_agent         sue              an_admin         a_customer       the_system
reply          queued         | not_your_chat    not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
reply          ann's          | done             not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
reply          sue's          | not_your_chat    not_your_chat    not_your_chat    done             not_your_chat    role_not_allowed role_not_allowed
reply          pending_ann's  | done             not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
reply          offered_to_bob | done             not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
close          queued         | not_your_chat    not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
close          ann's          | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
close          sue's          | not_your_chat    not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
close          pending_ann's  | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
close          offered_to_bob | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
assign         queued         | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
assign         ann's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
assign         sue's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
assign         pending_ann's  | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
assign         offered_to_bob | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
mark_pending   queued         | not_your_chat    not_your_chat    not_your_chat    not_assigned     not_assigned     role_not_allowed role_not_allowed
mark_pending   ann's          | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
mark_pending   sue's          | not_your_chat    not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
mark_pending   pending_ann's  | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
mark_pending   offered_to_bob | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
unmark_pending queued         | not_your_chat    not_your_chat    not_your_chat    not_pending      not_pending      role_not_allowed role_not_allowed
unmark_pending ann's          | not_pending      not_your_chat    not_your_chat    not_pending      not_pending      role_not_allowed role_not_allowed
unmark_pending sue's          | not_your_chat    not_your_chat    not_your_chat    not_pending      not_pending      role_not_allowed role_not_allowed
unmark_pending pending_ann's  | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
unmark_pending offered_to_bob | not_pending      not_your_chat    not_your_chat    not_pending      not_pending      role_not_allowed role_not_allowed
flag           queued         | not_your_chat    not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
flag           ann's          | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
flag           sue's          | not_your_chat    not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
flag           pending_ann's  | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
flag           offered_to_bob | done             not_your_chat    not_your_chat    done             done             role_not_allowed role_not_allowed
unflag         queued         | not_your_chat    not_your_chat    not_your_chat    not_flagged      not_flagged      role_not_allowed role_not_allowed
unflag         ann's          | not_flagged      not_your_chat    not_your_chat    not_flagged      not_flagged      role_not_allowed role_not_allowed
unflag         sue's          | not_your_chat    not_your_chat    not_your_chat    not_flagged      not_flagged      role_not_allowed role_not_allowed
unflag         pending_ann's  | not_flagged      not_your_chat    not_your_chat    not_flagged      not_flagged      role_not_allowed role_not_allowed
unflag         offered_to_bob | not_flagged      not_your_chat    not_your_chat    not_flagged      not_flagged      role_not_allowed role_not_allowed
set_priority   queued         | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_priority   ann's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_priority   sue's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_priority   pending_ann's  | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_priority   offered_to_bob | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_department queued         | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_department ann's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_department sue's          | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_department pending_ann's  | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
set_department offered_to_bob | role_not_allowed role_not_allowed role_not_allowed done             done             role_not_allowed role_not_allowed
transfer       queued         | not_your_chat    not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
transfer       ann's          | done             not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
transfer       sue's          | not_your_chat    not_your_chat    not_your_chat    done             not_your_chat    role_not_allowed role_not_allowed
transfer       pending_ann's  | done             not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
transfer       offered_to_bob | already_offered  not_your_chat    not_your_chat    not_your_chat    not_your_chat    role_not_allowed role_not_allowed
accept_offer   queued         | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
accept_offer   ann's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
accept_offer   sue's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
accept_offer   pending_ann's  | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
accept_offer   offered_to_bob | not_your_offer   done             not_your_offer   not_your_offer   not_your_offer   role_not_allowed role_not_allowed
decline_offer  queued         | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
decline_offer  ann's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
decline_offer  sue's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
decline_offer  pending_ann's  | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
decline_offer  offered_to_bob | not_your_offer   done             not_your_offer   not_your_offer   not_your_offer   role_not_allowed role_not_allowed
cancel_offer   queued         | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
cancel_offer   ann's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
cancel_offer   sue's          | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
cancel_offer   pending_ann's  | not_offered      not_offered      not_offered      not_offered      not_offered      role_not_allowed role_not_allowed
cancel_offer   offered_to_bob | done             not_your_offer   not_your_offer   done             done             role_not_allowed role_not_allowed
take           queued         | done             done             unknown_agent    done             unknown_agent    role_not_allowed role_not_allowed
take           ann's          | not_queued       not_queued       not_queued       not_queued       not_queued       role_not_allowed role_not_allowed
take           sue's          | not_queued       not_queued       not_queued       not_queued       not_queued       role_not_allowed role_not_allowed
take           pending_ann's  | not_queued       not_queued       not_queued       not_queued       not_queued       role_not_allowed role_not_allowed
take           offered_to_bob | not_queued       not_queued       not_queued       not_queued       not_queued       role_not_allowed role_not_allowed
"""  # noqa: E501 - a table
NOT_LIVE = {
    "diverted": "chat_not_live",
    "closed": "chat_not_live",
    "unknown": "unknown_chat",
    "another tenant's": "unknown_chat",
}
"""Which chats nobody may do anything with, by no command."""


COMMANDS: dict[str, tuple[type[ChatCommand], dict[str, Any]]] = {
    "reply": (ChatReply, {"request_id": "r1", "content": Text(text="hi")}),
    "close": (ChatClose, {}),
    "assign": (ChatAssign, {"agent_id": "cid"}),
    "mark_pending": (ChatMarkPending, {"reason": "customer"}),
    "unmark_pending": (ChatUnmarkPending, {}),
    "flag": (ChatFlag, {}),
    "unflag": (ChatUnflag, {}),
    "set_priority": (ChatSetPriority, {"priority": 1}),
    "set_department": (ChatSetDepartment, {"department_id": "care"}),
    "take": (ChatTake, {}),
    "transfer": (ChatTransfer, {"agent_id": "cid"}),
    "accept_offer": (ChatAcceptOffer, {}),
    "decline_offer": (ChatDeclineOffer, {}),
    "cancel_offer": (ChatCancelOffer, {}),
}


def a_command(name: str, by: Actor, chat: Chat, **fields: Any) -> ChatCommand:
    kind, told = COMMANDS[name]
    return kind(**{**told, "by": by, "chat_id": chat.chat_id, **fields})


def read(table: str) -> list[tuple[str, str, str, str]]:
    """Return (command, chat, actor, answer) of every cell."""
    heads, *rows = (line.split("|") for line in table.strip().splitlines())
    actors = heads[1].split()
    return [
        (command, chat.replace("_", " "), actor.replace("_", " "), answer)
        for row in rows
        for command, chat in [row[0].split()]
        for actor, answer in zip(actors, row[1].split(), strict=True)
    ]


def known(chat: Chat) -> Facts:
    """Hold the chat unless it is to be unknown; Bob and Cid have room, and so has Dot, of care."""
    dot = an_agent("dot", departments=frozenset({"care"}))
    bob = an_agent("bob", load=0 if chat.offer is None else 1)
    team = (an_agent("ann", load=1), bob, an_agent("sue", load=1), an_agent("cid"), dot)
    held = () if chat is STATES["unknown"] else (chat,)
    return facts(chats=held, agents=team, departments=(a_department(take_allowed=True), a_department("care")))


def after(found: Facts, command: ChatCommand) -> Changes:
    return fold(found, [received(command)], STEPS, NOON)


def refused(changes: Changes) -> chats.ChatCommandRefused | None:
    said = [event.data for event in changes.outcome.outgoing]
    refusals = [one for one in said if isinstance(one, chats.ChatCommandRefused)]
    assert refusals in ([], said), "a refusal comes alone"
    assert not (refusals and (changes.chats or changes.agents or changes.outcome.schedule))
    return refusals[0] if refusals else None


def reason(changes: Changes) -> str:
    found = refused(changes)
    return found.reason if found else "done"


@pytest.mark.parametrize(("command", "chat", "actor", "answer"), read(TABLE))
def test_who_may_do_what_with_which_chat(command: str, chat: str, actor: str, answer: str) -> None:
    found = STATES[chat]
    assert reason(after(known(found), a_command(command, ACTORS[actor], found))) == answer


@pytest.mark.parametrize("actor", ACTORS)
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("chat", "answer"), NOT_LIVE.items())
def test_nobody_may_do_anything_with_a_chat_that_is_not_live(
    command: str, chat: str, actor: str, answer: str
) -> None:
    found = STATES[chat]
    assert reason(after(known(found), a_command(command, ACTORS[actor], found))) == answer


def test_the_table_has_every_live_chat_and_role_of_every_command() -> None:
    live = STATES.keys() - NOT_LIVE.keys()
    cells = {cell[:3] for cell in read(TABLE)}
    assert cells == {(command, chat, by) for command in COMMANDS for chat in live for by in ACTORS}


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"unflag", "unmark_pending"}))
def test_who_acts_on_an_older_assignment_than_the_chat_s_is_told_both(command: str) -> None:
    by = {"reply": ANN, "transfer": ANN, "take": ANN, "accept_offer": BOB, "decline_offer": BOB}.get(
        command, SUE
    )
    found = STATES["offered to bob" if command.endswith("_offer") else "ann's"]
    if command == "take":
        found = a_chat(assignment_version=1)
    refusal = refused(after(known(found), a_command(command, by, found, expected_assignment_version=0)))
    assert refusal is not None
    assert refusal.reason == "stale_assignment"
    assert refusal.detail == "expected_assignment_version is 0, the chat's is 1"
    assert reason(after(known(found), a_command(command, by, found, expected_assignment_version=1))) == "done"


CLOSED = {"calendar_id": "afternoons"}
HELD = an_assigned_chat("ann")
TO_BOB, TO_BOB_IN_CARE, TO_CARE = (
    {"agent_id": "bob"},
    {"agent_id": "bob", "department_id": "care"},
    {"department_id": "care"},
)


def bob(**fields: Any) -> Agent:
    return an_agent("bob", **{"departments": frozenset({"care"}), **fields})


def centre(*team: Agent, care: Department | None = None, **fields: Any) -> Facts:
    """Ann, of sales, holds the chat and is full; care is another department."""
    departments = (a_department(), care or a_department("care"))
    hours = {"afternoons": a_calendar("13:00", "17:00")}
    ann = an_agent("ann", load=3)
    return facts(chats=(HELD,), agents=(ann, *team), departments=departments, calendars=hours, **fields)


def without_care(moved_to: str | None = None) -> Facts:
    moves = {"care": moved_to} if moved_to else {}
    found = facts(chats=(HELD,), agents=(an_agent("ann", load=3), bob()))
    return replace(found, directory={TENANT: replace(found.directory[TENANT], moves=moves)})


@pytest.mark.parametrize(
    ("found", "to", "answer"),
    [
        pytest.param(centre(bob()), TO_BOB, "done", id="any agent regardless of department"),
        pytest.param(centre(bob()), TO_BOB_IN_CARE, "done", id="an agent within a department"),
        pytest.param(centre(bob()), TO_CARE, "done", id="a department"),
        pytest.param(centre(bob(state="away")), TO_BOB, "agent_away", id="away"),
        pytest.param(centre(bob(state="away")), TO_BOB_IN_CARE, "agent_away", id="away, within"),
        pytest.param(centre(bob(state="away")), TO_CARE, "nobody_online", id="the only member away"),
        pytest.param(centre(bob(draining=True)), TO_BOB, "agent_away", id="draining"),
        pytest.param(centre(bob(draining=True)), TO_BOB_IN_CARE, "agent_away", id="draining, within"),
        pytest.param(centre(bob(draining=True)), TO_CARE, "nobody_online", id="the only member draining"),
        pytest.param(centre(bob(draining=True, load=3)), TO_CARE, "nobody_online", id="draining and full"),
        pytest.param(centre(bob(state="offline")), TO_BOB, "agent_offline", id="offline"),
        pytest.param(centre(bob(state="offline")), TO_CARE, "nobody_online", id="the only member offline"),
        pytest.param(centre(bob(load=3)), TO_BOB, "agent_full", id="full"),
        pytest.param(centre(bob(load=4)), TO_BOB, "agent_full", id="above a capacity that was lowered"),
        pytest.param(centre(bob(load=3)), TO_CARE, "all_full", id="the only member full"),
        pytest.param(
            centre(bob(load=3), an_agent("eve", departments=frozenset({"care"}), state="away")),
            TO_CARE,
            "all_full",
            id="one full, one away",
        ),
        pytest.param(centre(), {"agent_id": "ann"}, "done", id="who holds it keeps it, however full"),
        pytest.param(
            centre(bob(departments=frozenset({"sales"}))), TO_BOB_IN_CARE, "not_a_member", id="no member"
        ),
        pytest.param(centre(bob(departments=frozenset())), TO_BOB, "done", id="a member of nothing, by name"),
        pytest.param(centre(), TO_BOB, "unknown_agent", id="nobody of that name"),
        pytest.param(centre(bob(capacity=0)), TO_BOB, "unknown_agent", id="heard of by presence alone"),
        pytest.param(
            centre(bob(roles=frozenset(), departments=frozenset())), TO_BOB, "unknown_agent", id="retired"
        ),
        pytest.param(
            centre(bob(roles=frozenset({"supervisor"}))), TO_BOB, "unknown_agent", id="no agent, a supervisor"
        ),
        pytest.param(
            centre(bob(roles=frozenset({"supervisor"}))), TO_CARE, "nobody_online", id="supervisors alone"
        ),
        pytest.param(centre(), TO_CARE, "nobody_online", id="a department without members"),
        pytest.param(without_care(), TO_CARE, "unknown_department", id="no such department"),
        pytest.param(without_care(), TO_BOB_IN_CARE, "unknown_department", id="no such department, by name"),
        pytest.param(without_care("sales"), TO_CARE, "unknown_department", id="a retired department"),
        pytest.param(
            centre(bob(), care=a_department("care", **CLOSED)), TO_CARE, "department_closed", id="closed"
        ),
        pytest.param(
            centre(bob(), care=a_department("care", **CLOSED)),
            TO_BOB_IN_CARE,
            "department_closed",
            id="closed, an agent within it",
        ),
        pytest.param(
            centre(bob(), care=a_department("care", **CLOSED)),
            TO_BOB,
            "done",
            id="an agent of a closed department, regardless of it",
        ),
        pytest.param(
            centre(bob(), care=a_department("care", calendar_id="lost")),
            TO_CARE,
            "department_closed",
            id="a calendar that has not come",
        ),
        pytest.param(centre(), {}, "unknown_agent", id="neither agent nor department"),
    ],
)
def test_who_can_be_given_a_chat(found: Facts, to: dict[str, str], answer: str) -> None:
    command = ChatAssign(by=SUE, chat_id=HELD.chat_id, **to)
    assert reason(after(found, command)) == answer


@pytest.mark.parametrize(
    ("found", "command", "detail"),
    [
        (
            centre(),
            a_command("reply", ACTORS["a customer"], HELD),
            "by.role is 'customer', allowed here: agent",
        ),
        (
            centre(),
            a_command("assign", ACTORS["ann"], HELD),
            "by.role is 'agent', allowed here: supervisor, admin",
        ),
        (centre(), a_command("close", SUE, a_chat("+1")), "chat_id 'chat-+1' is no chat of this tenant"),
        (
            facts(chats=(STATES["diverted"],)),
            a_command("close", SUE, STATES["diverted"]),
            "chat_id names a chat that is diverted, allowed here: assigned, pending, queued",
        ),
        (centre(), ChatAssign(by=SUE, chat_id=HELD.chat_id), "agent_id or department_id has to be given"),
        (
            centre(),
            a_command("assign", SUE, HELD, agent_id="zoe"),
            "agent_id 'zoe' is nobody who takes chats",
        ),
        (
            centre(bob()),
            a_command("assign", SUE, HELD, agent_id="bob", department_id="sales"),
            "agent_id 'bob' is no member of department_id 'sales'",
        ),
        (
            centre(),
            a_command("assign", SUE, HELD, department_id="nowhere"),
            "department_id 'nowhere' is none of: care, sales",
        ),
        (
            without_care("sales"),
            a_command("assign", SUE, HELD, department_id="care"),
            "department_id 'care' is retired, its successor is 'sales'",
        ),
    ],
)
def test_a_refusal_names_the_field_and_what_it_may_be(
    found: Facts, command: ChatCommand, detail: str
) -> None:
    refusal = refused(after(found, command))
    assert refusal is not None
    assert refusal.detail == detail


def test_a_tenant_of_many_departments_is_told_the_first_of_them() -> None:
    many = {f"d{n:03}": a_department(f"d{n:03}") for n in range(500)}
    found = replace(centre(), directory={TENANT: Documents(departments=many)})
    refusal = refused(after(found, a_command("assign", SUE, HELD, department_id="nowhere")))
    assert refusal is not None
    assert refusal.detail is not None
    assert refusal.detail.endswith("d018, d019 and 480 more")


@pytest.mark.parametrize(
    ("found", "departments", "agents"),
    [
        pytest.param(centre(bob(load=3)), (), (), id="nobody"),
        pytest.param(
            centre(bob(load=3), an_agent("cid"), an_agent("dot", departments=frozenset({"care"}))),
            ("care", "sales"),
            ("cid", "dot"),
            id="of the department asked for and of the chat's own",
        ),
        pytest.param(
            centre(
                bob(load=3),
                an_agent("dot", departments=frozenset({"care"})),
                care=a_department("care", **CLOSED),
            ),
            (),
            ("dot",),
            id="a closed department takes nothing, its agents may be named",
        ),
        pytest.param(
            centre(
                bob(load=3),
                an_agent("cid", draining=True),
                an_agent("dot", state="away"),
                an_agent("eve", state="offline"),
                an_agent("flo", roles=frozenset({"supervisor"})),
            ),
            (),
            (),
            id="only who is online, not draining, not full, and an agent",
        ),
    ],
)
def test_a_refused_assignment_says_who_is_available_now_in_both_departments(
    found: Facts, departments: tuple[str, ...], agents: tuple[str, ...]
) -> None:
    command = ChatAssign(by=SUE, chat_id=HELD.chat_id, department_id="care", agent_id="bob")
    refusal = refused(after(found, command))
    assert refusal is not None
    assert refusal.available is not None
    assert (refusal.available.departments, refusal.available.agents) == (departments, agents)


def test_a_refusal_reaches_whoever_asked_under_their_own_request() -> None:
    command = a_command("reply", ACTORS["bob"], HELD)
    (event,) = after(centre(), command).outcome.outgoing
    refusal = event.data
    assert isinstance(refusal, chats.ChatCommandRefused)
    assert (refusal.request_id, refusal.by, refusal.version) == ("r1", ACTORS["bob"], HELD.version)
    assert event.pair_key == HELD.pair.key


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"by": {"role": "boss"}}, ("by.role", "'supervisor'", "'admin'")),
        ({"by": None}, ("by",)),
        ({"chat_id": ""}, ("chat_id", "must not be empty")),
        ({"chat_id": 7}, ("chat_id", "string")),
        ({"agent_id": "x" * 257}, ("agent_id", "256")),
        ({"expected_assignment_version": -1}, ("expected_assignment_version", "0")),
        ({"expected_assignment_version": "1"}, ("expected_assignment_version", "whole number")),
    ],
)
def test_a_malformed_command_is_a_dead_letter_that_names_the_field(
    change: dict[str, Any], told: tuple[str, ...]
) -> None:
    event = json.loads(cloudevents.encode(desk.an_event(a_command("assign", SUE, HELD))))
    event["data"] |= change
    with pytest.raises(Rejected) as found:
        cloudevents.decode(json.dumps(event).encode())
    for word in told:
        assert word in found.value.detail


@pytest.fixture
async def contact(migrated: Migrated) -> AsyncIterator[Contact]:
    """Sales is all full with Ann and her two chats; Bob, of care, has one free slot; Cid is of neither."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    found = Contact(database)
    await found.hear(
        desk.a_tenant(),
        desk.a_department("sales"),
        desk.a_department("care"),
        desk.an_agent_document("ann", capacity=8),
        desk.an_agent_document("bob", capacity=1, departments=("care",)),
    )
    await found.hear(desk.agent_changed("ann"), desk.agent_changed("bob"))
    await found.hear(*(desk.a_message(customer=f"+2782000000{n}") for n in range(8)))
    await found.connect()
    yield found
    await database.close()


@pytest.mark.servers
@pytest.mark.parametrize("to", [TO_BOB, TO_BOB_IN_CARE, TO_CARE], ids=["bob", "bob in care", "care"])
async def test_of_eight_who_give_chats_away_for_one_slot_seven_are_refused(
    contact: Contact, to: dict[str, str]
) -> None:
    held = [chat_id for (chat_id,) in await contact.rows("select chat_id from chats where agent_id = 'ann'")]
    assert len(held) == WORKERS
    await contact.hear_at_once([[ChatAssign(by=SUE, chat_id=one, **to)] for one in held])
    refusals = [
        event.data for _, event in await contact.said() if isinstance(event.data, chats.ChatCommandRefused)
    ]
    assert [one.reason for one in refusals] == ["all_full" if to is TO_CARE else "agent_full"] * (WORKERS - 1)
    assert await contact.count("select load from agents where agent_id = 'bob'") == 1
    assert await contact.count("select load from agents where agent_id = 'ann'") == WORKERS - 1


@pytest.mark.servers
async def test_of_two_who_act_on_one_view_of_a_chat_one_is_too_late(contact: Contact) -> None:
    rows = await contact.rows("select chat_id, assignment_version from chats where agent_id = 'ann' limit 1")
    ((chat_id, seen),) = rows
    told = {"by": SUE, "chat_id": chat_id, "expected_assignment_version": seen}
    await contact.hear_at_once([[ChatAssign(**told, agent_id="ann")], [ChatAssign(**told, agent_id="bob")]])
    refusals = [
        event.data.reason
        for _, event in await contact.said()
        if isinstance(event.data, chats.ChatCommandRefused)
    ]
    assert refusals == ["stale_assignment"]


@pytest.mark.servers
async def test_another_tenant_s_chat_is_unknown_to_the_real_store_too(contact: Contact) -> None:
    ((chat_id,),) = await contact.rows("select chat_id from chats limit 1")
    await contact.hear_of("globex", ChatClose(by=SUE, chat_id=chat_id))
    (last,) = [event for _, event in await contact.said()][-1:]
    assert isinstance(last.data, chats.ChatCommandRefused)
    assert (last.tenant_id, last.data.reason) == ("globex", "unknown_chat")
    assert await contact.count("select count(*) from chats where state = 'closed'") == 0
