"""A customer who says no more: when an answered chat ends by itself, and when it never does."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import CUSTOMER_SILENT, SERVE_QUEUE
from services.routing.decisions.fold import fold, fold_dues
from services.routing.model import Changes, Chat, State
from shared.contracts.chat_commands import ChatClose, ChatReply
from shared.contracts.content import Text
from shared.platform.database import Database
from shared.platform.outcome import Due
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.desk_events import NOON, TENANT, a_message, received
from tests.pipeline.builders import SetClock
from tests.routing.builders import (
    ANN,
    a_chat,
    a_department,
    a_diverted_chat,
    an_agent,
    an_assigned_chat,
    facts,
    minutes,
)
from tests.routing.contact import Contact

FOUR_HOURS = timedelta(hours=4)
ANSWERED = an_assigned_chat(last_word="business", silent_since=NOON)


def a_reply(chat_id: str, request_id: str = "r1") -> ChatReply:
    return ChatReply(by=ANN, chat_id=chat_id, request_id=request_id, content=Text(text="hi"))


def rang(chat: Chat, at: timedelta = FOUR_HOURS, **department: Any) -> Changes:
    row = Due(CUSTOMER_SILENT, f"{TENANT}:{chat.chat_id}", TENANT, NOON + at, generation=1)
    known = facts(agents=(an_agent(load=1),), chats=(chat,), departments=(a_department(**department),))
    return fold_dues(known, [row], NOON + at + minutes(30))


def test_a_reply_starts_the_wait_for_the_customer_by_the_department_s_patience() -> None:
    known = facts(
        agents=(an_agent(load=1),),
        chats=(an_assigned_chat(),),
        departments=(a_department(inactivity_timeout=minutes(90)),),
    )
    changes = fold(known, [received(a_reply(an_assigned_chat().chat_id))], STEPS, NOON)
    assert [(due.kind, due.at, due.sweep) for due in changes.outcome.schedule] == [
        (CUSTOMER_SILENT, NOON + minutes(90), False)
    ]


def test_a_silent_customer_s_answered_chat_is_closed_by_the_system_and_its_slot_is_free() -> None:
    changes = rang(ANSWERED)
    (closed,) = (event.data.model_dump() for event in changes.outcome.outgoing)
    assert (closed["state"], closed["reason"]) == ("closed", "customer_inactive")
    assert closed["by"]["role"] == "system"
    assert changes.agents[0].load == 0
    assert SERVE_QUEUE in {due.kind for due in changes.outcome.schedule}


@pytest.mark.parametrize(
    "chat",
    [
        replace(ANSWERED, last_word="customer"),
        a_chat(silent_since=NOON),
        a_diverted_chat(silent_since=NOON),
        replace(ANSWERED, state=State.CLOSED),
        replace(ANSWERED, flagged=True),
    ],
    ids=["the customer's last word", "queued", "diverted", "closed", "flagged"],
)
def test_no_other_chat_is_closed_for_silence(chat: Chat) -> None:
    changes = rang(chat)
    assert (changes.chats, changes.outcome.schedule) == ((), [])


@pytest.mark.parametrize(
    ("chat", "department", "until"),
    [
        (replace(ANSWERED, silent_since=NOON + minutes(1)), {}, FOUR_HOURS + minutes(1)),
        (ANSWERED, {"inactivity_timeout": timedelta(hours=5)}, timedelta(hours=5)),
    ],
    ids=["a later reply", "a longer patience"],
)
def test_the_wait_goes_on_though_the_clock_is_past_it_since_inputs_are_read_no_further(
    chat: Chat, department: dict[str, Any], until: timedelta
) -> None:
    changes = rang(chat, **department)
    assert not changes.chats
    assert [(due.kind, due.at) for due in changes.outcome.schedule] == [(CUSTOMER_SILENT, NOON + until)]


@pytest.mark.parametrize(
    "heard",
    [a_message(), ChatClose(by=ANN, chat_id=ANSWERED.chat_id)],
    ids=["customer writes", "agent closes"],
)
def test_nobody_waits_for_a_customer_who_wrote_or_whose_chat_is_over(heard: Any) -> None:
    known = facts(agents=(an_agent(load=1),), chats=(ANSWERED,))
    assert [kind for kind, _ in fold(known, [received(heard)], STEPS, NOON).outcome.cancel] == [
        CUSTOMER_SILENT
    ]


def test_a_further_message_of_the_customer_touches_no_timer() -> None:
    known = facts(agents=(an_agent(load=1),), chats=(an_assigned_chat(),))
    outcome = fold(known, [received(a_message())], STEPS, NOON).outcome
    assert (outcome.schedule, outcome.cancel) == ([], [])


@pytest.fixture
async def centre(migrated: Migrated) -> AsyncIterator[tuple[Contact, SetClock]]:
    clock = SetClock(NOON)
    database = Database(await migrated("routing"), "routing", connections=4)
    contact = Contact(database, workers=1, clock=clock)
    await contact.hear(desk.a_tenant(), desk.a_department(), desk.an_agent_document(), desk.agent_changed())
    await contact.hear(a_message())
    await contact.has_heard_everything()
    yield contact, clock
    await database.close()


@pytest.mark.servers
async def test_each_reply_gives_the_customer_the_whole_time_again(centre: tuple[Contact, SetClock]) -> None:
    contact, clock = centre
    (chat_id,) = (await contact.rows("select chat_id from chats"))[0]
    states = []
    for step, then in enumerate([timedelta(hours=3), timedelta(hours=3), timedelta(hours=4)]):
        if step < 2:
            await contact.hear(a_reply(chat_id, f"r{step}"))
        clock.pass_time(then.total_seconds())
        await contact.sweep()
        states.append((await contact.rows("select state from chats"))[0][0])
    assert states == ["assigned", "assigned", "closed"]
    assert await contact.count("select load from agents") == 0


@pytest.mark.servers
async def test_a_customer_who_wrote_last_is_never_closed(centre: tuple[Contact, SetClock]) -> None:
    contact, clock = centre
    (chat_id,) = (await contact.rows("select chat_id from chats"))[0]
    await contact.hear(a_reply(chat_id))
    await contact.hear(a_message())
    clock.pass_time(timedelta(hours=9).total_seconds())
    await contact.sweep()
    assert await contact.count("select count(*) from chats where state = 'assigned'") == 1
    assert await contact.count("select count(*) from due where kind = 'customer_silent'") == 0
