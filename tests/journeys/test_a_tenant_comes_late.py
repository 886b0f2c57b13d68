"""Messages of a tenant nobody knew yet are handled after all, once the tenant is there."""

from tests import desk_events as desk
from tests.conftest import Installation, Processes
from tests.pipeline.commands import dead_letters
from tests.pipeline.waiting import until_holds
from tests.topics import publish, until_events


async def test_messages_of_an_unknown_tenant_are_replayed_when_it_has_come(
    installation: Installation, processes: Processes
) -> None:
    settings = installation.settings
    routing = processes.start("routing").until_ready()
    messages = [desk.a_message(f"hello {n}", message_id=f"m{n}") for n in range(3)]
    await publish(settings, map(desk.an_event, messages))
    letters = await until_events(settings, "routing.dead-letters.v1", lambda events: len(events) == 3)
    assert {event.data.reason for event in letters} == {"unknown_tenant"}

    too_early = await dead_letters(installation, "replay", "--reason", "unknown_tenant", "--yes")
    assert (too_early.code, too_early.said.count("failed again")) == (1, 1)

    documents = [desk.a_tenant(), desk.a_department(), desk.an_agent_document()]
    await publish(settings, map(desk.an_event, documents))

    async def heard() -> float:
        return routing.metric("chatdesk_records_read_total")

    await until_holds(heard, lambda count: count >= len(messages) + len(documents))
    done = await dead_letters(
        installation, "replay", "--reason", "unknown_tenant", "--tenant", "acme", "--yes"
    )
    assert (done.code, done.said.splitlines()[-1]) == (0, "replayed 3 records")
    said = await until_events(
        settings, "chats.v1", lambda events: sum("message_added" in event.type for event in events) == 3
    )
    assert [event.data.message_id for event in said if "message_added" in event.type] == ["m0", "m1", "m2"]
    letters = await until_events(settings, "routing.dead-letters.v1", lambda events: len(events) == 6)
    assert [event.type.split(".")[2] for event in letters] == ["parked"] * 3 + ["replayed"] * 3
