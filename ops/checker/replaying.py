"""Takes every decision of a run again, from the inputs its fact carries, and compares the two exactly."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ops.checker.history import Key
from ops.checker.story import Story, Told
from services.routing.app import unlike, unlike_in_order, unlike_its_cause, unlike_its_rules, unlike_refusal
from shared.contracts.chats import ChatCommandRefused, ChatFact, ChatOpened
from shared.contracts.directory import (
    CalendarDocument,
    DepartmentDocument,
    DirectoryDocument,
    RoutingRulesDocument,
    TenantDocument,
)
from shared.contracts.event import Event
from shared.contracts.inbound_messages import MessageReceived

_HEARD = ("inbound-messages.v1", "chat-commands.v1", "tickets.v1", "deliveries.v1")
"""What causes facts of chats. Timers do too, but they leave no event."""

Documents = Mapping[tuple[str, type[DirectoryDocument], str, int], DirectoryDocument]


def unfounded(story: Story) -> Iterator[str]:
    """Say which facts tell of another decision than their recorded inputs lead to."""
    documents = {
        (told.tenant_id, type(document), document.id, document.revision): document
        for told in story.told("directory.v1")
        if isinstance(document := told.event.data, DirectoryDocument)
    }
    calendars = {
        (tenant_id, name, revision): document
        for (tenant_id, _, name, revision), document in documents.items()
        if isinstance(document, CalendarDocument)
    }
    causes: dict[Key, list[Told]] = defaultdict(list)
    for topic in _HEARD:
        for one in story.told(topic):
            causes[(one.tenant_id, one.event.id)].append(one)
    for told in story.told("chats.v1"):
        if isinstance(refused := told.event.data, ChatCommandRefused):
            named = f"the refusal of command {refused.command_id}"
            yield from (f"{named}: {problem}" for problem in unlike_refusal(refused))
    for facts in story.facts.values():
        events = [told.event for told in facts]
        for event in events:
            yield from (_said(event, problem) for problem in unlike(event, calendars))
        if events and isinstance(events[0].data, ChatOpened):
            yield from (_said(event, problem) for event, problem in unlike_in_order(events))
        for number, event in enumerate(events):
            before = events[number - 1] if number else None
            known = causes.get((event.tenant_id, event.causation_id or ""), ())
            yield from (_said(event, problem) for problem in _unlike_any(event, before, known, documents))


def _said(event: Event[ChatFact], problem: str) -> str:
    return f"chat {event.data.chat_id}, version {event.data.version}: {problem}"


def _unlike_any(
    event: Event[ChatFact], before: Event[ChatFact] | None, causes: Sequence[Told], documents: Documents
) -> Iterator[str]:
    """Say what no event of the id that caused a fact leads to; publishers may have the same id."""
    found = [
        [*unlike_its_cause(event, told.event, before), *_unlike_its_rules(event, told.event.data, documents)]
        for told in causes
    ]
    yield from min(found, key=len, default=())


def _unlike_its_rules(event: Event[ChatFact], message: object, documents: Documents) -> Iterator[str]:
    """Judge a new chat's department where the topic still has the documents that it recorded."""
    why = event.data.why or {}
    if (
        "rule" not in why
        or not isinstance(event.data, ChatOpened)
        or not isinstance(message, MessageReceived)
    ):
        return
    tenant_id = event.tenant_id
    named = [
        documents.get((tenant_id, TenantDocument, tenant_id, why["tenant_revision"])),
        *(
            documents.get((tenant_id, RoutingRulesDocument, name, revision))
            for name, revision in why["rules"].items()
        ),
    ]
    known = [one for one in named if one is not None]
    if len(known) < len(named):
        return
    retired: list[DirectoryDocument] = [
        one for key, one in documents.items() if key[0] == tenant_id and isinstance(one, DepartmentDocument)
    ]
    found = [[*unlike_its_rules(event, message, [*known, *moved])] for moved in ((), retired)]  # type: ignore[arg-type]
    yield from min(found, key=len)
