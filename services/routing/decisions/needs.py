"""Which facts a batch or a round of timers needs, told from the inputs alone."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.routing.decisions.choice import RUNNERS_UP
from services.routing.decisions.floor import (
    AGENT_LOST,
    ANSWER_OVERDUE,
    CUSTOMER_SILENT,
    DEPARTMENT_RETIRED,
    HAND_OVER,
    OFFER_OVER,
    PENDING_OVER,
    RECEIVER_LEFT,
    RELAX_SKILLS,
    SERVE_TAKEABLE,
    WAIT_LIMITS,
    WAITED_TOO_LONG,
    WRAP_UP_OVER,
)
from services.routing.decisions.keywords import ends_chat
from services.routing.decisions.rules import department_for, fallbacks, rule_for
from services.routing.decisions.skills import asked_for
from services.routing.model import (
    EVERYBODY,
    NOTHING_KNOWN,
    Agent,
    Chat,
    Documents,
    Key,
    Needs,
    State,
    due_key,
)
from shared.contracts import directory
from shared.contracts.agents import AgentChanged
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatClose,
    ChatCommand,
    ChatHandOver,
    ChatSetDepartment,
    ChatTake,
    ChatTransfer,
)
from shared.contracts.deliveries import Delivery
from shared.contracts.event import Event, Model
from shared.contracts.inbound_messages import InboundMessage, MessageReceived
from shared.contracts.pair import Pair
from shared.contracts.tickets import TicketClosed
from shared.platform.outcome import Due, Received

MOST_SKILLED = 8
"""Sets of skills that a department is asked for at once; of more, everybody is read."""
SPARE = RUNNERS_UP + 3
"""Candidates beside those who may get a chat: who is told after the last one, and who may be taken meanwhile
by another department of theirs."""


def needs_of(batch: Sequence[Received]) -> Needs:
    """Return the needs of a batch of events."""
    needs = Needs()
    for received in batch:
        needs.tenants.add(received.event.tenant_id)
        _add(needs, received.event)
    return needs


def _add(needs: Needs, event: Event[Model]) -> None:
    tenant_id, data = event.tenant_id, event.data
    match data:
        case InboundMessage():
            pair = Pair.of(tenant_id, data.channel, data.business_address, data.customer_address)
            needs.pairs.add(pair.key)
            if isinstance(data, MessageReceived):
                needs.messages.append((pair.key, tenant_id, data))
                if ends_chat(data):
                    needs.ending_pairs.add(pair.key)
                    needs.loads_change = True
        case ChatCommand():
            _add_command(needs, tenant_id, data)
        case Delivery(chat_id=str(chat_id)):
            needs.chats.add((tenant_id, chat_id))
        case ChatHandOver():
            _add_hand_over(needs, tenant_id, data)
        case TicketClosed():
            needs.chats.add((tenant_id, data.chat_id))
            needs.ending.add((tenant_id, data.chat_id))
        case AgentChanged():
            needs.introduced.add((tenant_id, data.agent_id))
            needs.states_change = True
        case directory.AgentDocument():
            needs.introduced.add((tenant_id, data.id))
            needs.departments.update((tenant_id, name) for name in data.departments)
            needs.states_change = True
        case _:
            pass  # documents are saved before anything is read; what else is heard needs no facts


def _add_command(needs: Needs, tenant_id: str, command: ChatCommand) -> None:
    needs.chats.add((tenant_id, command.chat_id))
    needs.loads_change = True
    if isinstance(command, ChatTake) and command.by.id is not None:
        needs.agents.add((tenant_id, command.by.id))
    if isinstance(command, ChatTake | ChatAcceptOffer):
        needs.asked_for.add((tenant_id, command.chat_id))
    if isinstance(command, ChatClose):
        needs.ending.add((tenant_id, command.chat_id))
    if isinstance(command, ChatAssign | ChatSetDepartment | ChatTransfer):
        _add_assignment(needs, tenant_id, command)


def _add_assignment(
    needs: Needs, tenant_id: str, command: ChatAssign | ChatSetDepartment | ChatTransfer
) -> None:
    needs.assigned_by_hand.add((tenant_id, command.chat_id))
    if isinstance(command, ChatAssign | ChatTransfer) and command.agent_id is not None:
        needs.agents.add((tenant_id, command.agent_id))
    if command.department_id is not None:
        needs.named_departments.add((tenant_id, command.department_id))


def _add_hand_over(needs: Needs, tenant_id: str, command: ChatHandOver) -> None:
    named = (command.agent_id, command.to_agent_id)
    needs.agents.update((tenant_id, name) for name in named if name is not None)
    if command.to_department_id is not None:
        needs.named_departments.add((tenant_id, command.to_department_id))


def needs_of_dues(dues: Iterable[Due]) -> Needs:
    """Return the needs of timers and sweeps."""
    needs = Needs(loads_change=True)
    for row in dues:
        key = due_key(row.key)
        needs.tenants.add(row.tenant_id)
        if row.kind == AGENT_LOST:
            needs.agents.add(key)
            needs.held.add(key)
        elif row.kind in {WAITED_TOO_LONG, CUSTOMER_SILENT, OFFER_OVER, WRAP_UP_OVER, RELAX_SKILLS}:
            needs.chats.add(key)
        elif row.kind == ANSWER_OVERDUE:
            needs.chats.add(key)
            needs.assigned_by_hand.add(key)  # given to another, as by hand
        elif row.kind == PENDING_OVER:
            needs.chats.add(key)
            needs.going_on.add(key)
        elif row.kind == RECEIVER_LEFT:
            needs.agents.add(key)
            needs.receivers.add(key)
        elif row.kind == WAIT_LIMITS:
            needs.entered.add(key)
        elif row.kind == HAND_OVER:
            needs.hand_overs.add(key)
        elif row.kind == DEPARTMENT_RETIRED:
            needs.left.add(key)
            needs.departments.add(key)
        else:
            (needs.takeable if row.kind == SERVE_TAKEABLE else needs.queues).add(key)
            needs.departments.add(key)
    return needs


def places_into(
    needs: Needs, chats: Mapping[Key, Chat], agents: Mapping[Key, Agent], documents: Mapping[str, Documents]
) -> dict[Key, int]:
    """Return the departments into which chats may have to be placed, and how many candidates to read of each.

    Into ``needs.skilled`` goes how many to read who have the skills that chats ask for.

    ``agents`` may be read before they are locked: should an owner be lost after that, the fold asks
    for a sweep instead of placing the chat itself. With fewer candidates than it takes the fold ends
    (`ShortlistEndsError`), so the number is a matter of speed alone.
    """
    found = _Candidates(Counter(dict.fromkeys(needs.departments, 0)))
    _add_messages(found, needs, chats, agents, documents)
    placed = [chats[key] for key in needs.going_on if key in chats and _is_unheld(chats[key], agents)]
    placed += [chat for chat in chats.values() if chat.agent is not None and chat.agent in needs.held]
    if served := needs.queues | needs.takeable:
        placed += [chat for chat in chats.values() if chat.department in served]
    for chat in placed:
        found.add(chat.department, chat.skills)
    by_hand = {chats[key].department for key in needs.assigned_by_hand if key in chats}
    passed_on = {chat.department for chat in placed if chat.passed_by}  # asked are those who did not pass
    named = needs.named_departments | {key for key in by_hand | passed_on if key is not None}
    found.numbers.update(dict.fromkeys(named, EVERYBODY))
    found.pass_on(documents)
    # Nobody is placed there; who could be is told with a refusal.
    found.numbers.update(dict.fromkeys(_might_go_to(needs.asked_for, chats) - found.numbers.keys(), 0))
    needs.skilled = found.who_have_skills()
    return {key: min(number, EVERYBODY) + SPARE for key, number in found.numbers.items()}


def _add_messages(
    found: "_Candidates",
    needs: Needs,
    chats: Mapping[Key, Chat],
    agents: Mapping[Key, Agent],
    documents: Mapping[str, Documents],
) -> None:
    open_chats = {chat.pair.key: chat for chat in chats.values() if chat.state is not State.CLOSED}
    ending = needs.ending_pairs | {chats[key].pair.key for key in needs.ending if key in chats}
    for pair_key, tenant_id, message in needs.messages:
        chat = open_chats.get(pair_key)
        tenant = documents.get(tenant_id, NOTHING_KNOWN).tenant
        if tenant is not None and (chat is None or pair_key in ending):
            place = rule_for(tenant, message)
            key = (tenant_id, department_for(tenant, place))
            found.add(key, asked_for(tenant, place, message))
        if chat is not None and _is_unheld(chat, agents):
            found.add(chat.department, chat.skills)


@dataclass(slots=True)
class _Candidates:
    """How many to read of each department, and how many with the skills that chats ask for there."""

    numbers: Counter[Key]
    skilled: dict[Key, Counter[str]] = field(default_factory=dict)

    def add(self, department: Key | None, skills: str) -> None:
        """Count a chat that may be placed into a department."""
        if department is None:
            return
        self.numbers[department] += 1
        if skills:
            self.skilled.setdefault(department, Counter())[skills] += 1

    def pass_on(self, documents: Mapping[str, Documents]) -> None:
        """Count for heirs and fallbacks what may come to them."""
        skilled = {key: dict(numbers) for key, numbers in self.skilled.items()}
        for key, number in tuple(self.numbers.items()):
            known = documents.get(key[0], NOTHING_KNOWN)
            # A retired department's row stays locked beside its heir's: chats leave one queue for the other.
            heir = known.current(key) or key
            for other in {heir, *fallbacks(known, heir)} - {key}:
                self.numbers[other] += number
                if key in skilled:
                    self.skilled.setdefault(other, Counter()).update(skilled[key])

    def who_have_skills(self) -> dict[Key, dict[str, int]]:
        """Return how many with which skills to read, where not everybody is read anyway."""
        for key, numbers in self.skilled.items():
            if len(numbers) > MOST_SKILLED:
                self.numbers[key] = EVERYBODY
        return {
            key: {skills: number + SPARE for skills, number in numbers.items()}
            for key, numbers in self.skilled.items()
            if self.numbers[key] < EVERYBODY
        }


def _might_go_to(asked_for: Iterable[Key], chats: Mapping[Key, Chat]) -> set[Key]:
    """Return the departments of chats that agents want for themselves, and those they are offered into."""
    found = set()
    for key in asked_for:
        if (chat := chats.get(key)) is not None:
            offered = chat.offer.department_id if chat.offer is not None else None
            found |= {(key[0], name) for name in (chat.department_id, offered) if name is not None}
    return found


def _is_unheld(chat: Chat, agents: Mapping[Key, Agent]) -> bool:
    if chat.state is State.DIVERTED:
        return True
    if chat.agent is None:
        return False
    agent = agents.get(chat.agent)
    return agent is None or agent.state == "offline"
