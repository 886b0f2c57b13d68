"""What a fact has from the event that caused it, taken again: its ids and, of a new chat, its department."""

import json
from collections.abc import Iterator

from services.routing.decisions.rules import department_for, rule_for, why_there
from services.routing.decisions.skills import asked_for
from services.routing.model import PARTED, Tenant
from shared.contracts import chats
from shared.contracts.event import Cause, Event, derived_id
from shared.contracts.inbound_messages import MessageReceived


def unlike_its_cause(
    event: Event[chats.ChatFact], cause: Cause, before: chats.ChatFact | None
) -> Iterator[str]:
    """Say which ids of a fact do not come, as they must, from its cause; ``before`` is the one before it.

    What a hand-over moves is named after that and the chat, and the ids after this name.
    """
    fact = event.data
    names = (cause.id, derived_id("hand_over", cause.id, fact.chat_id))
    wanted = [derived_id(name, event.type, fact.chat_id, str(fact.version)) for name in names]
    if event.id not in wanted:
        yield f"from its cause its event is {wanted[0]}"
        return
    name = names[wanted.index(event.id)]
    if (
        isinstance(fact, chats.ChatOpened)
        and fact.why is not None
        and fact.chat_id != derived_id(name, "chat")
    ):
        yield f"from its message the chat is {derived_id(name, 'chat')}"
    if isinstance(fact, chats.ChatDiverted) and not _keeps_its_ticket(fact, before):
        ticket_id = derived_id(name, "ticket", fact.chat_id)
        if fact.ticket_id != ticket_id:
            yield f"from its cause the ticket is {ticket_id}"


def _keeps_its_ticket(fact: chats.ChatDiverted, before: chats.ChatFact | None) -> bool:
    """Whether a chat that was a ticket has only waited since."""
    waited = before is not None and before.state == "queued" and before.ticket_id == fact.ticket_id
    return waited and fact.reason != "written_after_close"


def unlike_its_rules(fact: chats.ChatOpened, message: MessageReceived, tenant: Tenant) -> Iterator[str]:
    """Say in what a new chat differs from what its first message and the tenant's rules lead to."""
    place = rule_for(tenant, message)
    why, department_id, skills = (
        why_there(tenant, place),
        department_for(tenant, place),
        asked_for(tenant, place, message),
    )
    if json.dumps(why, sort_keys=True) != json.dumps(fact.why, sort_keys=True):
        yield f"by its message it is opened by {json.dumps(why, sort_keys=True)}"
    if department_id != fact.department_id:
        yield f"by its message it is {department_id}'s"
    if skills != PARTED.join(fact.skills or ()):
        yield f"by its message it asks for {', '.join(skills.split(PARTED))}"
