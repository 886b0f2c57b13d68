"""Customer silent: an answered chat that nobody goes on with is closed (docs/rules.md, 3)."""

from datetime import timedelta

from services.routing.decisions.floor import CUSTOMER_SILENT, SYSTEM, Floor
from services.routing.model import Chat, Department, State, due_name
from shared.contracts.event import Cause
from shared.platform.outcome import Due


def await_customer(floor: Floor, chat: Chat) -> None:
    """Let the customer's silence count from our last word: one row per chat, however many replies."""
    if chat.silent_since is None or chat.flagged or chat.state is not State.ASSIGNED:
        return
    limit = chat.silent_since + _patience(floor, chat)
    floor.outcome.schedule.append(Due(CUSTOMER_SILENT, due_name(chat.key), chat.tenant_id, limit))


def await_word(floor: Floor, chat: Chat) -> None:
    """Let the silence count of whoever has the next word, from the moments the chat keeps."""
    if chat.last_word == "business":
        await_customer(floor, chat)
    else:
        floor.expect_answer(chat)


def customer_silent(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Close a chat whose last word is ours, unless a later one, or a longer patience, ends after ``row.at``.

    Inputs are read up to ``row.at`` and no further: what the customer said after it may not be known yet.
    """
    if chat.state is State.QUEUED and chat.last_word == "business" and not chat.flagged:
        # Whoever gets it may find the customer silent; until then it waits for us.
        again = row.at + _patience(floor, chat)
        floor.outcome.schedule.append(Due(CUSTOMER_SILENT, row.key, row.tenant_id, again))
        return
    if chat.state is not State.ASSIGNED or chat.flagged:
        return
    if chat.last_word != "business" or chat.silent_since is None:
        return
    if chat.silent_since + _patience(floor, chat) > row.at:
        await_customer(floor, chat)
        return
    floor.close(cause, chat, by=SYSTEM, reason="customer_inactive")


def _patience(floor: Floor, chat: Chat) -> timedelta:
    department = floor.department(chat.department) if chat.department is not None else None
    return (department or Department("", "")).inactivity_timeout
