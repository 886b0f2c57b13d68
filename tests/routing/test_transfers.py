"""An agent's transfer is an offer: who may make it, every way it ends, and that a slot is held meanwhile."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCancelOffer,
    ChatClose,
    ChatCommand,
    ChatDeclineOffer,
    ChatHandOver,
    ChatMarkPending,
    ChatTransfer,
)
from shared.contracts.chats import (
    Availability,
    ChatCommandRefused,
    ChatOffered,
    ChatOfferEnded,
    ChatTransferred,
)
from shared.contracts.event import Model
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.builders import ANN, BOB, SUE
from tests.routing.office import Office

pytestmark = pytest.mark.servers
CLEO = Actor(role="agent", id="cleo")


@pytest.fixture
async def office(migrated: Migrated) -> AsyncIterator[Office]:
    """Ann holds the chat of customer 1; Bob, with room for one, works in care."""
    database = Database(await migrated("routing"), "routing", connections=5)
    office = Office(database)
    await office.open()
    await office.writes(1)
    await office.agent("bob", capacity=1, departments=("care",))
    yield office
    await database.close()


async def asks(office: Office, kind: type[ChatCommand], by: Actor, **fields: Any) -> str | None:
    """Let somebody ask for something of customer 1's chat; return the reason if it is refused."""
    before = len(await refusals(office))
    await office.hears(kind(by=by, chat_id=await office.chat_id(1), **fields))
    refused = (await refusals(office))[before:]
    return refused[0].reason if refused else None


async def refusals(office: Office) -> list[ChatCommandRefused]:
    said = [event.data for _, event in await office.contact.said()]
    return [one for one in said if isinstance(one, ChatCommandRefused)]


async def load(office: Office, agent: str) -> int:
    return await office.contact.count(f"select load from agents where agent_id = '{agent}'")


async def endings(office: Office) -> list[str]:
    return [one.outcome for one in await office.said(ChatOfferEnded)]


async def test_an_offer_holds_a_slot_until_it_is_accepted_and_the_note_goes_with_it(office: Office) -> None:
    assert await asks(office, ChatTransfer, ANN, agent_id="bob", note="speaks French") is None
    assert (await office.chats())[1] == ("assigned", "ann")
    (offered,) = await office.said(ChatOffered)
    assert (offered.to, offered.note, offered.agent_load) == ("bob", "speaks French", 1)
    assert (await load(office, "ann"), await load(office, "bob")) == (1, 1)
    assert await asks(office, ChatAssign, SUE, agent_id="bob", department_id="care") is None
    assert await endings(office) == ["assigned"]
    await office.has_nothing_wrong()


async def test_accepting_moves_the_chat_and_its_department_with_the_slot_that_was_held(
    office: Office,
) -> None:
    assert await asks(office, ChatTransfer, ANN, department_id="care", note="yours") is None
    assert await asks(office, ChatAcceptOffer, BOB) is None
    (given,) = await office.said(ChatTransferred)
    assert (given.agent_id, given.previous_agent_id, given.department_id) == ("bob", "ann", "care")
    assert (given.note, given.agent_load, given.assignment_version) == ("yours", 1, 2)
    assert (await load(office, "ann"), await load(office, "bob")) == (0, 1)
    await office.has_nothing_wrong()


@pytest.mark.parametrize("ending", ["declined", "cancelled", "timed_out", "receiver_left", "closed"])
async def test_every_other_ending_frees_the_slot(office: Office, ending: str) -> None:
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    match ending:
        case "declined":
            await asks(office, ChatDeclineOffer, BOB, note="busy")
        case "cancelled":
            await asks(office, ChatCancelOffer, ANN)
        case "timed_out":
            await office.goes_by(minutes=19)
            assert await load(office, "bob") == 1
            await office.answers("ann", 1)
            await office.goes_by(minutes=1, seconds=1)
        case "receiver_left":
            await office.is_now("bob", "away")
        case _:
            await asks(office, ChatClose, ANN)
    assert await endings(office) == [ending]
    assert await load(office, "bob") == 0
    assert (await office.chats())[1][0] == ("closed" if ending == "closed" else "assigned")
    reason = await asks(office, ChatAcceptOffer, BOB)
    assert reason == ("chat_not_live" if ending == "closed" else "not_offered")
    await office.has_nothing_wrong()


@pytest.mark.parametrize(("into", "seconds"), [(None, 60), ("care", 90)])
async def test_a_department_says_how_long_a_transfer_waits_for_its_answer(
    office: Office, into: str | None, seconds: int
) -> None:
    """Into a department as that one says; beside it, as the chat's own does."""
    await office.hears(desk.a_department("sales", revision=7, transfer_seconds=60))
    await office.hears(desk.a_department("care", revision=7, transfer_seconds=90))
    await asks(office, ChatTransfer, ANN, agent_id="bob", department_id=into)
    (offered,) = await office.said(ChatOffered)
    assert offered.expires_at - office.clock.time == timedelta(seconds=seconds)
    await office.goes_by(seconds=seconds)
    assert await endings(office) == ["timed_out"]


@pytest.mark.parametrize("how", ["offline", "draining", "retired", "no agent any more", "elsewhere now"])
async def test_an_offer_ends_whenever_its_receiver_takes_no_new_chats(office: Office, how: str) -> None:
    await asks(office, ChatTransfer, ANN, agent_id="bob", department_id="care")
    documents: dict[str, dict[str, Any]] = {
        "retired": {"retired": True},
        "no agent any more": {"roles": ("supervisor",)},
        "elsewhere now": {"departments": ("sales",)},
    }
    if how in documents:
        document = {"departments": ("care",), **documents[how]}
        await office.hears(desk.an_agent_document("bob", capacity=1, revision=2, **document))
    else:
        await office.is_now("bob", "offline" if how == "offline" else "online", draining=how == "draining")
    assert await endings(office) == ["receiver_left"]
    assert await load(office, "bob") == 0
    await office.has_nothing_wrong()


@pytest.mark.parametrize("how", ["away", "retired", "elsewhere now", "a department of the past"])
async def test_nobody_accepts_what_they_may_no_longer_have_even_before_the_offer_ended(
    office: Office, how: str
) -> None:
    """All is heard in one batch: the sweep that ends the offer comes after it."""
    await asks(office, ChatTransfer, ANN, agent_id="bob", department_id="care")
    changes: dict[str, tuple[Model, str]] = {
        "away": (desk.agent_changed("bob", "away", version=9), "agent_away"),
        "retired": (desk.an_agent_document("bob", revision=2, retired=True), "unknown_agent"),
        "elsewhere now": (desk.an_agent_document("bob", revision=2), "not_a_member"),
        "a department of the past": (
            desk.a_department("care", revision=2, retired=True, move_to="sales"),
            "unknown_department",
        ),
    }
    change, reason = changes[how]
    await office.hears(change, ChatAcceptOffer(by=BOB, chat_id=await office.chat_id(1)))
    assert [one.reason for one in await refusals(office)] == [reason]
    assert await endings(office) == ["department_retired" if how.startswith("a dep") else "receiver_left"]
    assert (await office.chats())[1] == ("assigned", "ann")


async def test_an_offer_regardless_of_department_outlives_a_change_of_departments(office: Office) -> None:
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.hears(
        desk.an_agent_document("bob", capacity=1, revision=2, departments=()),
        desk.a_department("care", revision=2, retired=True, move_to="sales"),
    )
    assert await asks(office, ChatAcceptOffer, BOB) is None
    assert (await office.said(ChatTransferred))[0].department_id == "sales"


async def test_what_an_agent_holds_is_handed_over_with_its_offer_ended(office: Office) -> None:
    """The slot that the offer took is the one that the chat gets."""
    await office.agent("bob", capacity=2, departments=("care",), revision=2)
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.is_now("ann", "away")
    assert (await endings(office), await load(office, "bob")) == ([], 1)
    await office.hears(ChatHandOver(by=SUE, agent_id="ann", to_agent_id="bob"))
    assert (await office.chats())[1] == ("assigned", "bob")
    assert (await endings(office), await load(office, "bob")) == (["handed_over"], 1)
    await office.has_nothing_wrong()


async def test_whoever_is_away_may_still_be_relieved_of_a_chat_they_offered(office: Office) -> None:
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.is_now("ann", "away")
    assert await asks(office, ChatAcceptOffer, BOB) is None
    assert (await office.chats())[1] == ("assigned", "bob")


async def test_a_department_s_next_available_member_is_asked_never_who_holds_the_chat(
    office: Office,
) -> None:
    await office.agent("cleo", departments=("sales",))
    await office.writes(2, 3)
    assert [one for _, one in (await office.chats()).values()].count("cleo") > 0
    assert await asks(office, ChatTransfer, ANN, department_id="sales") is None
    assert [one.to for one in await office.said(ChatOffered)] == ["cleo"]


async def test_who_is_offered_a_chat_gets_no_other_in_its_slot_and_the_queue_goes_on_when_it_ends(
    office: Office,
) -> None:
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.is_now("ann", "away")
    await office.writes(2, words="care")
    assert (await office.chats())[2] == ("queued", None)
    assert await asks(office, ChatDeclineOffer, BOB) is None
    assert (await office.chats())[2] == ("assigned", "bob")
    await office.has_nothing_wrong()


async def test_a_customer_who_is_silent_is_timed_anew_by_who_accepts_their_parked_chat(
    office: Office,
) -> None:
    await office.answers("ann", 1)
    await asks(office, ChatMarkPending, ANN, reason="customer")
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await asks(office, ChatAcceptOffer, BOB)
    await office.goes_by(hours=4, seconds=1)
    assert (await office.chats())[1] == ("closed", None)


async def test_the_receiver_owes_the_answer_from_when_they_accept(office: Office) -> None:
    await office.goes_by(minutes=9)
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await asks(office, ChatAcceptOffer, BOB)
    await office.goes_by(minutes=9)
    assert (await office.chats())[1] == ("assigned", "bob")
    await office.agent("cleo", departments=("care", "sales"))
    await office.is_now("ann", "away")
    await office.goes_by(minutes=1, seconds=1)
    assert (await office.chats())[1] == ("assigned", "cleo")


async def test_a_chat_whose_agent_is_lost_is_routed_afresh_and_its_offer_ends(office: Office) -> None:
    await office.agent("cleo", departments=("sales",))
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.is_now("ann", "offline")
    assert (await office.chats())[1] == ("assigned", "cleo")
    assert (await endings(office), await load(office, "bob")) == (["agent_lost"], 0)
    await office.has_nothing_wrong()


async def test_a_parked_chat_can_be_offered_and_goes_on_with_who_accepts(office: Office) -> None:
    await asks(office, ChatMarkPending, ANN, reason="internal")
    assert await asks(office, ChatTransfer, ANN, agent_id="bob") is None
    assert await asks(office, ChatAcceptOffer, BOB) is None
    assert (await office.chats())[1] == ("assigned", "bob")
    assert (await load(office, "ann"), await load(office, "bob")) == (0, 1)


async def test_a_capacity_lowered_meanwhile_takes_no_offer_back(office: Office) -> None:
    await office.agent("bob", capacity=2, departments=("care",), revision=2)
    await office.writes(2, words="care")
    await asks(office, ChatTransfer, ANN, agent_id="bob")
    await office.agent("bob", capacity=1, departments=("care",), revision=3)
    assert await asks(office, ChatAcceptOffer, BOB) is None
    await office.has_nothing_wrong()


@pytest.mark.parametrize(
    ("by", "fields", "reason"),
    [
        (ANN, {"agent_id": "ann"}, "same_agent"),
        (BOB, {"agent_id": "bob"}, "not_your_chat"),
        (SUE, {"agent_id": "bob"}, "not_your_chat"),
        (Actor(role="customer"), {"agent_id": "bob"}, "role_not_allowed"),
        (ANN, {}, "unknown_agent"),
        (ANN, {"agent_id": "nobody"}, "unknown_agent"),
        (ANN, {"department_id": "nowhere"}, "unknown_department"),
        (ANN, {"agent_id": "bob", "department_id": "sales"}, "not_a_member"),
        (ANN, {"department_id": "sales"}, "nobody_online"),
        (ANN, {"agent_id": "bob", "expected_assignment_version": 7}, "stale_assignment"),
    ],
)
async def test_a_transfer_is_refused_with_its_reason(
    office: Office, by: Actor, fields: dict[str, Any], reason: str
) -> None:
    assert await asks(office, ChatTransfer, by, **fields) == reason
    assert await endings(office) == []


async def test_who_accepts_too_late_is_told_who_is_available_in_both_departments(office: Office) -> None:
    await office.agent("cleo", departments=("sales",))
    await office.agent("dot", departments=("care",))
    assert await asks(office, ChatTransfer, ANN, agent_id="bob", department_id="care") is None
    away = desk.agent_changed("bob", state="away", version=2)
    chat_id = await office.chat_id(1)
    await office.contact.hear(away, ChatAcceptOffer(by=BOB, chat_id=chat_id))
    (refused,) = await refusals(office)
    assert (refused.reason, refused.available) == (
        "agent_away",
        Availability(departments=("care", "sales"), agents=("cleo", "dot")),
    )


async def test_where_nobody_is_available_a_refusal_says_who_is(office: Office) -> None:
    await office.writes(2, words="care")
    await office.is_now("bob", "away")
    assert await asks(office, ChatTransfer, ANN, agent_id="bob", department_id="care") == "agent_away"
    refused = (await refusals(office))[-1]
    assert refused.available is not None
    assert (refused.available.departments, refused.available.agents) == ((), ()), "Ann has it already"
    await office.agent("cleo", departments=("sales",))
    await asks(office, ChatTransfer, ANN, agent_id="bob", department_id="care")
    refused = (await refusals(office))[-1]
    assert refused.available is not None
    assert (refused.available.departments, refused.available.agents) == (("sales",), ("cleo",))
    assert await asks(office, ChatTransfer, ANN, department_id="care") == "nobody_online"
    await office.agent("bob", capacity=2, departments=("care",), revision=2)
    assert await asks(office, ChatTransfer, ANN, agent_id="bob") is None
    assert await asks(office, ChatTransfer, ANN, agent_id="cleo") == "already_offered"
    assert await asks(office, ChatAcceptOffer, CLEO) == "not_your_offer"
    assert await asks(office, ChatCancelOffer, CLEO) == "not_your_offer"
