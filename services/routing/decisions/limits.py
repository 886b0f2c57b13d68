"""How long a chat may wait: each entry into a queue has its own end, and a department's limit may change."""

from services.routing.decisions import relaxing
from services.routing.decisions.floor import WAIT_LIMITS, Floor
from services.routing.model import LOOK_AT, Chat, Department, Key, State, due_name
from shared.contracts.event import Cause, derived_id
from shared.platform.outcome import Due


def waited_too_long(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """End a wait, unless the chat has gone on, waits anew, or may by now wait longer than ``row.at``.

    While a document it needs is missing it is held: whether somebody is there cannot be judged.
    """
    if chat.state is not State.QUEUED or chat.queued_at is None or chat.queued_at >= row.at:
        return
    if (department := _judgeable(floor, chat.department)) is None:
        floor.limit_wait(chat)
    elif chat.queued_at + department.max_wait > row.at:
        floor.limit_wait(chat, since=chat.queued_at)
    else:
        why = {"since": chat.queued_at.isoformat(), "max_wait_seconds": department.max_wait.total_seconds()}
        floor.divert(cause, chat, "waited_too_long", why=why)


def limits_changed(floor: Floor, row: Due, key: Key) -> None:
    """End the waits that are too long by a department's present limit, and look again when the next may be.

    Each chat's own timer knows only the limit of when it began to wait.
    """
    if (department := _judgeable(floor, key)) is None:
        return
    listed = floor.facts.entered.get(key, ())
    relaxing.limits_changed(floor, listed)
    for chat_key in listed:
        chat = floor.chats.get(chat_key)
        if chat is None or chat.department != key or chat.state is not State.QUEUED or chat.queued_at is None:
            continue
        limit = chat.queued_at + department.max_wait
        if limit > row.at:
            floor.outcome.schedule.append(Due(WAIT_LIMITS, row.key, row.tenant_id, limit))
            return
        cause = Cause(row.tenant_id, derived_id("due", row.kind, row.key, str(row.generation), chat.chat_id))
        waited_too_long(floor, row, cause, chat)
    if len(listed) == LOOK_AT:
        floor.outcome.schedule.append(Due(WAIT_LIMITS, row.key, row.tenant_id, row.at))


def look_at_limits(floor: Floor, department: Key) -> None:
    """Have the waits of a department judged by its present limit, once all is heard up to now."""
    floor.outcome.schedule.append(Due(WAIT_LIMITS, due_name(department), department[0], floor.now))


def _judgeable(floor: Floor, key: Key | None) -> Department | None:
    department = floor.department(key) if key is not None else None
    if department is None or (department.calendar_id is not None and floor.calendar(department) is None):
        return None
    return department
