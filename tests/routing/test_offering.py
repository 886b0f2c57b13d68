"""Departments that offer: members are asked before they get a chat, one after the other; misses count."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.contracts.actors import Actor
from shared.contracts.agent_signals import AgentStateSet
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCancelOffer,
    ChatClose,
    ChatCommand,
    ChatDeclineOffer,
    ChatSetDepartment,
)
from shared.contracts.chats import ChatAssigned, ChatOffered, ChatOfferEnded, ChatQueued
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.builders import ANN, BOB, SUE
from tests.routing.office import Office

pytestmark = pytest.mark.servers
CLEO = Actor(role="agent", id="cleo")
OFFERS = {"mode": "offer", "offer_seconds": 60}


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Sales offers its chats, to Ann and Bob, each with room for one; care does not offer, and is Cleo's."""
    database = Database(await migrated("routing"), "routing", connections=5)
    office = Office(database)
    await office.open()
    await office.hears(desk.a_department("sales", revision=2, **OFFERS))
    await office.agent("ann", capacity=1, departments=("sales",), revision=2)
    await office.agent("bob", capacity=1, departments=("sales",))
    await office.agent("cleo", capacity=1, departments=("care",))
    yield office
    await office.has_nothing_wrong()
    await database.close()


async def answers(office: Office, kind: type[ChatCommand], by: Actor, customer: int = 1, **told: Any) -> None:
    await office.hears(kind(by=by, chat_id=await office.chat_id(customer), **told))


async def asked(office: Office) -> list[str]:
    return [one.to for one in await office.said(ChatOffered)]


async def endings(office: Office) -> list[str]:
    return [one.outcome for one in await office.said(ChatOfferEnded)]


async def held(office: Office) -> dict[str, int]:
    return dict(map(tuple, await office.contact.rows("select agent_id, load from agents")))


async def away(office: Office) -> list[str]:
    """Return whom routing declared away."""
    said = await office.contact.said(topic="agent-signals.v1")
    return [e.data.agent_id for _, e in said if isinstance(e.data, AgentStateSet)]


async def test_a_chat_waits_while_a_member_is_asked_who_has_a_slot_taken(office: Office) -> None:
    await office.writes(1)
    assert (await office.chats())[1] == ("queued", None)
    (offered,) = await office.said(ChatOffered)
    assert (offered.kind, offered.to, offered.agent_load) == ("assign", "ann", 1)
    assert offered.why["shortlist"][0][0] == "ann"
    assert (offered.expires_at - office.clock.time).total_seconds() == 60
    assert await held(office) == {"ann": 1, "bob": 0, "cleo": 0}
    assert len(await office.said(ChatQueued)) == 1


async def test_who_accepts_has_the_chat_in_the_slot_that_was_taken(office: Office) -> None:
    await office.writes(1)
    await answers(office, ChatAcceptOffer, ANN)
    assert (await office.chats())[1] == ("assigned", "ann")
    (given,) = await office.said(ChatAssigned)
    assert (given.by, given.reason, given.agent_load) == (ANN, "accepted", 1)
    assert await endings(office) == ["accepted"]
    assert await held(office) == {"ann": 1, "bob": 0, "cleo": 0}


async def test_the_next_is_asked_when_one_declines_or_does_not_answer(office: Office) -> None:
    await office.writes(1)
    await answers(office, ChatDeclineOffer, ANN, note="not my field")
    assert await asked(office) == ["ann", "bob"]
    await office.goes_by(seconds=61)
    assert await endings(office) == ["declined", "timed_out"]
    assert await asked(office) == ["ann", "bob", "ann"], "nobody else is there: from the beginning"
    assert (await office.said(ChatOfferEnded))[0].note == "not my field"


async def test_who_passed_is_asked_again_only_after_all_others(office: Office) -> None:
    await office.agent("dot", departments=("sales",))
    await office.writes(1)
    for by in ("ann", "bob", "dot", "ann"):
        await answers(office, ChatDeclineOffer, Actor(role="agent", id=by))
    assert await asked(office) == ["ann", "bob", "dot", "ann", "bob"]


async def test_whoever_had_the_last_chat_is_asked_first_but_not_twice_in_a_row(office: Office) -> None:
    await office.writes(1)
    await answers(office, ChatDeclineOffer, ANN)
    await answers(office, ChatAcceptOffer, BOB)
    await answers(office, ChatClose, BOB)
    await office.writes(1)
    await office.hears(ChatDeclineOffer(by=BOB, chat_id=(await office.said(ChatOffered))[-1].chat_id))
    assert await asked(office) == ["ann", "bob", "bob", "ann"]


async def test_two_misses_in_a_row_are_away(office: Office) -> None:
    await office.is_now("bob", "offline")
    await office.writes(1)
    await office.goes_by(seconds=60)
    assert (await endings(office), await away(office)) == (["timed_out"], [])
    await office.goes_by(seconds=60)
    assert (await endings(office), await away(office)) == (["timed_out"] * 2, ["ann"])
    await office.is_now("ann", "away", "online")
    await office.goes_by(seconds=60)
    assert await away(office) == ["ann"], "who is back starts anew"


@pytest.mark.parametrize("answer", [ChatAcceptOffer, ChatDeclineOffer])
async def test_an_answer_in_between_ends_the_row(office: Office, answer: type[ChatCommand]) -> None:
    await office.is_now("bob", "offline")
    await office.writes(1)
    await office.goes_by(seconds=60)
    await answers(office, answer, ANN)
    if answer is ChatAcceptOffer:
        await answers(office, ChatClose, ANN)
        await office.writes(2)
    await office.goes_by(seconds=60)
    assert await away(office) == []


async def test_a_department_says_how_long_it_waits_for_an_answer(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, mode="offer", offer_seconds=10))
    await office.writes(1)
    await office.goes_by(seconds=10)
    assert await endings(office) == ["timed_out"]


async def test_chats_are_offered_in_the_order_of_the_queue_as_far_as_there_are_slots(office: Office) -> None:
    await office.writes(1, 2, 3, 4)
    assert await asked(office) == ["ann", "bob"]
    await answers(office, ChatAcceptOffer, ANN, 1)
    await answers(office, ChatClose, ANN, 1)
    offered = [one.chat_id for one in await office.said(ChatOffered)]
    assert offered == [await office.chat_id(n) for n in (1, 2, 3)]


async def test_slots_that_come_at_once_are_offered_at_once_and_messages_heard_together_too(
    office: Office,
) -> None:
    await office.is_now("bob", "offline")
    await office.writes(1, 2, 3, 4)
    assert len(await asked(office)) == 1
    await office.hears(desk.an_agent_document("ann", capacity=3, revision=3))
    assert len(await asked(office)) == 3
    await office.hears(desk.an_agent_document("ann", capacity=6, revision=4))
    await office.contact.hear(*(desk.a_message(customer=f"+278200000{n}") for n in (11, 12)))
    assert len(await asked(office)) == 6, "nobody waits before the second: the first is offered"
    await office.contact.sweep()


async def test_a_member_who_leaves_frees_the_chat_for_the_next(office: Office) -> None:
    await office.writes(1)
    await office.is_now("ann", "away")
    assert (await endings(office), await asked(office)) == (["receiver_left"], ["ann", "bob"])


async def test_when_the_last_member_leaves_an_offered_chat_becomes_a_ticket(office: Office) -> None:
    await office.writes(1)
    await office.is_now("bob", "offline")
    await office.is_now("ann", "offline")
    assert (await office.chats())[1] == ("diverted", None)
    assert await held(office) == {"ann": 0, "bob": 0, "cleo": 0}


async def test_a_member_who_is_taken_out_of_the_department_is_no_longer_asked(office: Office) -> None:
    await office.writes(1)
    await office.hears(desk.an_agent_document("ann", capacity=1, revision=3, departments=("care",)))
    assert await asked(office) == ["ann", "bob"]
    await answers(office, ChatAcceptOffer, BOB)
    assert (await office.chats())[1] == ("assigned", "bob")


async def test_a_wait_ends_in_time_though_somebody_is_being_asked(office: Office) -> None:
    await office.is_now("bob", "offline")
    await office.agent("ann", capacity=5, departments=("sales",), revision=3)
    await office.writes(1)
    await office.goes_by(minutes=14, seconds=30)
    assert (await office.chats())[1] == ("queued", None)
    await office.goes_by(seconds=31)
    assert (await office.chats())[1] == ("diverted", None)
    assert (await endings(office))[-1] == "waited_too_long"
    assert (await held(office))["ann"] == 0


async def test_a_chat_that_is_offered_may_be_given_away_closed_or_moved(office: Office) -> None:
    await office.writes(1)
    await answers(office, ChatAssign, SUE, agent_id="ann")
    assert (await office.chats())[1] == ("assigned", "ann"), "the slot taken for it is hers"
    await answers(office, ChatClose, ANN)
    await office.writes(2)
    await answers(office, ChatSetDepartment, SUE, 2, department_id="care")
    assert (await office.chats())[2] == ("assigned", "cleo")
    await office.writes(3)
    await answers(office, ChatClose, SUE, 3)
    assert await endings(office) == ["assigned", "moved", "closed"]
    assert await held(office) == {"ann": 0, "bob": 0, "cleo": 1}


async def test_an_offer_that_is_taken_back_goes_to_the_next(office: Office) -> None:
    await office.writes(1)
    await answers(office, ChatCancelOffer, SUE)
    assert (await endings(office), await asked(office)) == (["cancelled"], ["ann", "bob"])


async def test_a_retired_department_takes_its_offers_back(office: Office) -> None:
    await office.writes(1)
    await office.hears(desk.a_department("sales", revision=3, retired=True, move_to="care", **OFFERS))
    assert await endings(office) == ["department_retired"]
    assert (await office.chats())[1] == ("assigned", "cleo")


async def test_a_department_that_offers_no_longer_assigns_what_comes_back(office: Office) -> None:
    await office.writes(1)
    await office.hears(desk.a_department("sales", revision=3))
    await answers(office, ChatDeclineOffer, ANN)
    assert (await office.chats())[1] == ("assigned", "bob")


async def test_round_robin_asks_in_turns(office: Office) -> None:
    await office.hears(desk.a_department("sales", revision=3, strategy="round_robin", **OFFERS))
    for customer in (1, 2, 3):
        await office.writes(customer)
        await answers(office, ChatClose, SUE, customer)
    assert await asked(office) == ["ann", "bob", "ann"]


async def test_a_lost_agent_s_customer_is_offered_to_others_and_a_ticket_goes_on_so_too(
    office: Office,
) -> None:
    await office.writes(1)
    await answers(office, ChatAcceptOffer, ANN)
    await office.is_now("ann", "offline")
    assert await asked(office) == ["ann", "bob"]
    await office.is_now("bob", "offline")
    assert (await office.chats())[1] == ("diverted", None)
    await office.is_now("bob", "online")
    await office.writes(1)
    assert (await office.chats())[1] == ("queued", None)
    await answers(office, ChatAcceptOffer, BOB)
    assert (await office.chats())[1] == ("assigned", "bob")
    assert (await office.said(ChatAssigned))[-1].ticket_id is not None
