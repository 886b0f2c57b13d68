"""What customers say to the desk itself."""

import pytest

from services.routing.app import STEPS
from services.routing.decisions.floor import SERVE_QUEUE, WAITED_TOO_LONG
from services.routing.decisions.fold import fold
from services.routing.decisions.needs import needs_of
from services.routing.model import Changes, Chat, State
from shared.contracts.content import Text
from shared.contracts.event import Event, Model
from tests.desk_events import NOON, a_message, received
from tests.routing.builders import a_chat, a_diverted_chat, an_agent, an_assigned_chat, facts


def said(text: str, *chats: Chat) -> Changes:
    known = facts(agents=(an_agent(load=1),), chats=chats)
    return fold(known, [received(a_message(content=Text(text=text)))], STEPS, NOON)


def told(changes: Changes) -> list[str]:
    return [event.type.removeprefix("chatdesk.").removesuffix(".v1") for event in changes.outcome.outgoing]


def last(changes: Changes) -> Event[Model]:
    return changes.outcome.outgoing[-1]


@pytest.mark.parametrize("chat", [an_assigned_chat(), a_chat(), a_diverted_chat()], ids=lambda c: c.state)
def test_a_customer_ends_their_open_chat(chat: Chat) -> None:
    changes = said("//end", chat)
    assert told(changes) == ["chat.message_added", "chat.closed"]
    closed = last(changes).data.model_dump()
    assert (closed["by"]["role"], closed["reason"]) == ("customer", "ended_by_customer")
    assert changes.chats[0].state is State.CLOSED


def test_the_agent_of_an_ended_chat_is_free_for_whoever_waits() -> None:
    changes = said("//end", an_assigned_chat())
    assert changes.agents[0].load == 0
    assert [due.kind for due in changes.outcome.schedule] == [SERVE_QUEUE]


def test_a_chat_ended_in_the_queue_waits_no_longer() -> None:
    assert [kind for kind, _ in said("//end", a_chat()).outcome.cancel] == [WAITED_TOO_LONG]


def test_ending_nothing_is_recorded_and_opens_nothing() -> None:
    changes = said("//end")
    assert told(changes) == ["chat.recorded"]
    assert not changes.chats


def test_an_ended_chat_is_over_for_the_next_message_of_the_same_batch() -> None:
    known = facts(agents=(an_agent(load=1),), chats=(an_assigned_chat(),))
    batch = [received(a_message("1", content=Text(text="//end"))), received(a_message("2"))]
    changes = fold(known, batch, STEPS, NOON)
    assert told(changes)[2:] == ["chat.opened", "chat.message_added", "chat.assigned"]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("//end", True),
        (" //END\n", True),
        ("please //end it", False),
        ("end", False),
        ("//ending", False),
    ],
)
def test_only_the_word_alone_ends_a_chat(text: str, ends: bool) -> None:
    assert (said(text, an_assigned_chat()).chats[0].state is State.CLOSED) is ends


@pytest.mark.parametrize(("text", "locks"), [("//end", True), ("hello", False)])
def test_an_end_locks_the_owner_s_row_for_their_load_and_no_other_message_does(
    text: str, locks: bool
) -> None:
    assert needs_of([received(a_message(content=Text(text=text)))]).loads_change is locks
