"""Takes every decision of a run again, from the inputs its fact carries, and compares the two exactly."""

from collections.abc import Iterator

from ops.checker.story import Story
from services.routing.app import unlike
from shared.contracts.directory import CalendarDocument


def unfounded(story: Story) -> Iterator[str]:
    """Say which facts tell of another decision than their recorded inputs lead to."""
    calendars = {
        (told.tenant_id, document.id, document.revision): document
        for told in story.told("directory.v1")
        if isinstance(document := told.event.data, CalendarDocument)
    }
    for facts in story.facts.values():
        for told in facts:
            fact = told.event.data
            for problem in unlike(told.event, calendars):
                yield f"chat {fact.chat_id}, version {fact.version}: {problem}"
