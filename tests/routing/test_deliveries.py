"""A message of ours that did not arrive was no word of ours: the customer waits again, by their timer."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import AGENT_LOST, ANSWER_OVERDUE, CUSTOMER_SILENT
from services.routing.decisions.fold import fold
from services.routing.model import KEPT, Changes, Chat, Said, State
from shared.contracts import deliveries
from shared.contracts.catalogue import type_of
from shared.contracts.chat_commands import ChatReply
from shared.contracts.chats import ChatMessageChanged
from shared.contracts.content import Text
from tests.desk_events import NOON, a_message, received
from tests.routing.builders import ANN, a_department, an_agent, an_assigned_chat, facts, minutes

ASKED, ANSWERED = NOON - minutes(9), NOON - minutes(5)
PATIENCE = a_department(inactivity_timeout=timedelta(hours=4), answer_timeout=minutes(10))


def answered(*at: datetime, **fields: Any) -> Chat:
    """Ann holds a chat whose customer asked at ASKED, and has said r1, r2 … at these times since."""
    said = tuple(Said(f"r{n}", when) for n, when in enumerate(at, 1))
    told = {"last_word": "business", "said": said, "silent_since": at[-1], "owes_since": ASKED}
    told["last_inbound_at"] = ASKED
    return an_assigned_chat(**{**told, **fields})


def became(chat: Chat, *kinds: type[deliveries.Delivery], request: str = "r1", **agent: Any) -> Changes:
    """Return what follows when routing hears that a message became this."""
    known = facts(agents=(an_agent(**{"load": 1, **agent}),), chats=(chat,), departments=(PATIENCE,))
    heard = [
        received(
            kind(
                request_id=request,
                purpose="chat",
                chat_id=chat.chat_id,
                channel=chat.pair.channel,
                business_address=chat.business_address,
                customer_address=chat.customer_address,
                at=NOON,
            )
        )
        for kind in kinds
    ]
    return fold(known, heard, STEPS, NOON)


def timers(changes: Changes) -> list[tuple[str, datetime]]:
    return [(due.kind, due.at) for due in changes.outcome.schedule]


@pytest.mark.parametrize(
    "kind", [deliveries.DeliveryFailed, deliveries.DeliveryRefused, deliveries.DeliveryUnknown]
)
def test_with_no_word_of_ours_left_the_customer_waits_from_when_they_asked(
    kind: type[deliveries.Delivery],
) -> None:
    changes = became(answered(ANSWERED), kind)
    (chat,) = changes.chats
    assert (chat.last_word, chat.said) == ("customer", ())
    assert timers(changes) == [(ANSWER_OVERDUE, ASKED + minutes(10))]
    assert [kind for kind, _ in changes.outcome.cancel] == [CUSTOMER_SILENT]
    (event,) = changes.outcome.outgoing
    assert isinstance(event.data, ChatMessageChanged)
    assert (event.data.message_id, event.data.change, event.data.last_word) == ("r1", "failed", "customer")


@pytest.mark.parametrize(
    "kind",
    [
        deliveries.DeliveryAccepted,
        deliveries.DeliverySent,
        deliveries.DeliveryDelivered,
        deliveries.DeliveryRead,
        deliveries.DeliveryPlayed,
        deliveries.DeliveryHeld,
        deliveries.DeliveryInDoubt,
    ],
)
def test_what_arrived_or_is_on_its_way_is_not_even_heard(kind: type[deliveries.Delivery]) -> None:
    assert type_of(kind) not in STEPS


@pytest.mark.parametrize(
    ("lost", "counts_from"),
    [
        pytest.param("r2", ANSWERED, id="the last: silence counts from the one before"),
        pytest.param("r1", ANSWERED + minutes(2), id="an earlier one: from the last"),
    ],
)
def test_while_another_word_stands_the_last_word_is_ours(lost: str, counts_from: datetime) -> None:
    changes = became(answered(ANSWERED, ANSWERED + minutes(2)), deliveries.DeliveryFailed, request=lost)
    assert changes.chats[0].last_word == "business"
    assert timers(changes) == [(CUSTOMER_SILENT, counts_from + timedelta(hours=4))]


def test_silence_that_counts_from_the_end_of_a_flag_goes_on_from_there() -> None:
    unflagged = answered(ANSWERED, ANSWERED + minutes(1), silent_since=NOON - minutes(1))
    changes = became(unflagged, deliveries.DeliveryFailed, request="r2")
    assert timers(changes) == [(CUSTOMER_SILENT, NOON - minutes(1) + timedelta(hours=4))]


@pytest.mark.parametrize(
    ("chat", "request_id"),
    [
        pytest.param(answered(ANSWERED), "another", id="a message of which the chat knows nothing"),
        pytest.param(answered(ANSWERED, state=State.CLOSED), "r1", id="a closed chat"),
        pytest.param(an_assigned_chat(last_word="customer"), "r1", id="the customer wrote since"),
    ],
)
def test_other_messages_take_nothing_back(chat: Chat, request_id: str) -> None:
    changes = became(chat, deliveries.DeliveryFailed, request=request_id)
    assert [*changes.chats, *changes.outcome.outgoing, *changes.outcome.schedule] == []


def test_one_that_is_unknown_and_failed_later_is_taken_back_once() -> None:
    changes = became(answered(ANSWERED), deliveries.DeliveryUnknown, deliveries.DeliveryFailed)
    assert len(changes.outcome.outgoing) == 1


def test_an_agent_who_is_gone_keeps_no_customer_who_waits_again() -> None:
    changes = became(answered(ANSWERED), deliveries.DeliveryFailed, state="offline")
    assert AGENT_LOST in [kind for kind, _ in timers(changes)]


def test_a_parked_chat_stays_parked_and_its_customer_waits() -> None:
    changes = became(answered(ANSWERED, state=State.PENDING), deliveries.DeliveryFailed)
    assert (changes.chats[0].state, changes.chats[0].last_word) == (State.PENDING, "customer")
    assert timers(changes) == []


def test_what_nobody_asked_awaits_no_answer_of_ours() -> None:
    changes = became(answered(ANSWERED, last_inbound_at=None), deliveries.DeliveryFailed)
    assert changes.chats[0].last_word == "none"
    assert timers(changes) == []


def test_a_chat_remembers_its_newest_words_until_the_customer_writes() -> None:
    chat = an_assigned_chat()
    known = facts(agents=(an_agent(load=1),), chats=(chat,), departments=(PATIENCE,))
    replies = [
        received(ChatReply(by=ANN, chat_id=chat.chat_id, request_id=f"r{n}", content=Text(text="hi")))
        for n in range(KEPT + 1)
    ]
    said = fold(known, replies, STEPS, NOON).chats[0].said
    assert [one.request_id for one in said] == [f"r{n}" for n in range(1, KEPT + 1)]
    assert fold(known, [*replies, received(a_message())], STEPS, NOON).chats[0].said == ()
