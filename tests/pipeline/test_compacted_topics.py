"""A late duplicate can become the last record of its key: its owner reads it and says the truth again."""

from typing import Any

import pytest

from ops.topics import read
from shared.contracts import cloudevents
from shared.contracts.agent_signals import AgentSignedIn, AgentSignedOut
from shared.contracts.event import Event
from shared.platform.settings import PlatformSettings
from tests import desk_events as desk
from tests.conftest import Installation, Migrated, Processes
from tests.pipeline.waiting import until_holds
from tests.topics import publish

pytestmark = pytest.mark.servers


async def last_word(settings: PlatformSettings) -> Event[Any] | None:
    """Return what a newcomer would take for the agent's state: the last record of their key."""
    found = [record async for record in read(settings.kafka, settings.topic_prefix + "agents.v1")]
    return cloudevents.decode(found[-1].value, found[-1].headers) if found else None


def version(word: Event[Any] | None) -> int:
    return 0 if word is None else int(word.data.version)


async def test_owner_says_again_what_a_late_duplicate_hides(
    installation: Installation, migrated: Migrated, processes: Processes
) -> None:
    await migrated("presence")
    settings = installation.settings
    presence = processes.start("presence")
    await publish(settings, map(desk.an_event, [desk.a_tenant(), desk.an_agent_document()]))
    signs = {"agent_id": "ann", "session_id": "s1"}
    await publish(settings, [desk.an_event(AgentSignedIn.model_validate(signs))])
    online = await until_holds(lambda: last_word(settings), lambda word: version(word) == 1)
    await publish(settings, [desk.an_event(AgentSignedOut.model_validate(signs))])
    await until_holds(lambda: last_word(settings), lambda word: version(word) == 2)
    presence.stop()

    assert online is not None
    await publish(settings, [online])
    assert version(await last_word(settings)) == 1, "with nobody to correct it, the past is what readers find"

    processes.start("presence")
    corrected = await until_holds(lambda: last_word(settings), lambda word: version(word) == 2)
    assert corrected is not None
    assert corrected.data.state == "offline"
