"""`chatdesk why` as people run it: routing decides, and what it said is told."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.cli import menu
from ops.refusal import Refusal
from ops.stack import Addresses
from ops.why.choosing import placement
from ops.why.telling import missing_versions, told
from shared.contracts.actors import Actor
from shared.contracts.chat_commands import ChatAssign, ChatClose
from shared.contracts.chats import ChatQueued, ChatRecorded
from shared.contracts.event import Event, Model
from shared.contracts.pairs import PairRef
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.topics import publish, until_events

PAIR = PairRef(channel="sms", business_address="+1", customer_address="+2")


async def why(installation: Installation, *arguments: str) -> Result:
    return await asyncio.to_thread(
        CliRunner().invoke, menu(), ["why", *arguments], env=installation.environment()
    )


async def refusal(installation: Installation, *arguments: str) -> str:
    error = (await why(installation, *arguments)).exception
    assert isinstance(error, Refusal)
    return str(error)


@pytest.mark.parametrize(
    ("asks", "expected"),
    [
        (
            {"asked": ["french", "wine"], "relaxed": False, "held_to": True},
            "the chat asks for french, wine: held to while it waits for somebody with it",
        ),
        (
            {"asked": ["french"], "relaxed": True, "held_to": True},
            "the chat asks for french: who has it came first",
        ),
        (
            {"asked": ["french"], "relaxed": True, "held_to": False},
            "the chat asks for french: nobody with it was free, anybody would do",
        ),
    ],
)
def test_what_a_chat_asks_for_is_told_and_who_lacks_it(asks: dict[str, Any], expected: str) -> None:
    shortlist = [["ann", "lacks_skill", 0, 3, 1, None]]
    why = {"strategy": "least_loaded", "skills": asks, "shortlist": shortlist, "counts": {"lacks_skill": 1}}
    reasons = list(placement(why))
    assert expected in reasons
    assert "1. ann: 0 of 3 slots taken, given none yet; passed over, lacks a skill" in reasons
    assert "of the members: 1 lacks skill" in reasons


@pytest.mark.servers
async def test_a_chat_s_decisions_are_told_with_their_reasons(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("routing")
    settings = installation.settings
    agents = [desk.an_agent_document(name, capacity=2) for name in ("ann", "bob", "cleo")]
    await publish(settings, map(desk.an_event, [desk.a_tenant(), desk.a_department(), *agents]))
    await publish(settings, [desk.an_event(desk.agent_changed(name)) for name in ("ann", "bob")])
    processes.start("routing").until_ready()

    # Twice: a repeat is told once.
    message = desk.an_event(desk.a_message("anyone there? \x1b[2J"))
    await publish(settings, [message, replace(message, id="again")])
    said = await until_events(settings, "chats.v1", lambda events: len(events) >= 3)
    chat_id = said[0].data.chat_id
    supervisor = Actor(role="supervisor", id="sue")
    given = ChatAssign(by=supervisor, chat_id=chat_id, agent_id="cleo")
    closed = ChatClose(by=supervisor, chat_id=chat_id, note="done")
    await publish(settings, [desk.an_event(given), desk.an_event(closed)])
    await until_events(settings, "chats.v1", lambda events: len(events) >= 5)

    answer = await why(installation, chat_id)
    assert answer.exit_code == 0, answer.output
    lines = [line[21:] for line in answer.stdout.splitlines()]
    assert answer.stdout.splitlines()[0] == f"chat {chat_id} of {desk.TENANT}: closed, version 4"
    assert lines[1:] == [
        "opened for sales",
        "to the first line",
        "the customer wrote",
        "assigned to ann, who now holds 1",
        "the department gives chats to whoever holds the fewest chats (least_loaded)",
        "by department sales as of its revision 1",
        "1. ann: 0 of 2 slots taken, given none yet",
        "2. bob: 0 of 2 slots taken, given none yet",
        "3. cleo: 0 of 2 slots taken, given none yet; passed over, offline",
        "of the members: 2 available, 1 offline",
        "what supervisor sue asked was refused: agent offline; available then: ann, bob",
        "named by hand: cleo: 0 of 2 slots taken, given none yet; passed over, offline",
        "closed by supervisor sue (closed by supervisor)",
    ]
    assert "anyone there" not in answer.stdout


@pytest.mark.servers
async def test_what_cannot_be_told_is_refused_in_a_line(installation: Installation) -> None:
    assert await refusal(installation, "nobody's") == "there is no chat nobody's"
    assert await refusal(installation, "nobody's", "--tenant", "acme") == "there is no chat nobody's of acme"


@pytest.mark.servers
async def test_a_desk_without_tables_is_named(servers: Addresses, empty_database_url: str) -> None:
    error = (
        await asyncio.to_thread(
            CliRunner().invoke,
            menu(),
            ["why", "chat"],
            env={"CHATDESK_DATABASE_URL": empty_database_url, "CHATDESK_KAFKA": servers.kafka},
        )
    ).exception
    assert str(error) == "the database has no schema of routing yet: run `chatdesk migrate`"


def test_a_change_that_retention_took_is_missed_aloud() -> None:
    assert missing_versions([a_fact(version) for version in (2, 4, 5)]) == [1, 3]


def a_fact(version: int) -> Event[Model]:
    """A fact that has a version of its own, and a reason that nobody foresaw."""
    recorded = ChatRecorded(
        pair=PAIR, customer_id="c", chat_id="chat", version=version, message_id="m", why="HELP"
    )
    return desk.an_event(recorded)


def test_what_is_not_known_by_name_is_told_by_its_fields() -> None:
    """A later release may say more than this one knows; a foreign text must not move a cursor."""
    (one,) = told([a_fact(1)])
    assert one.line == "recorded, why: HELP"
    held = ChatQueued(
        chat_id="chat",
        version=2,
        assignment_version=0,
        state="queued",
        pair=PAIR,
        customer_id="c",
        department_id="sa\x1bles",
        opened_at=desk.NOON,
        opened_by="customer",
        last_word="customer",
        why={"verdict": "calendar_missing", "counts": {}, "other": [1, {"a": 2}]},
    )
    (one,) = told([desk.an_event(held)])
    assert one.line == r"waits in sa\x1bles"
    assert one.reasons == ("the department has no members", "other: 1, a 2", "verdict: calendar_missing")


def test_a_customer_who_goes_on_in_the_slot_of_a_wrap_up_is_told_to_overtake_nobody() -> None:
    assert list(placement({"wrap_up_of": "chat-before"})) == [
        "in the slot that was held to wrap up chat chat-before, so it overtakes nobody"
    ]
