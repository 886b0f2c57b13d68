"""Offers on many workers: answers race with closes, sign-outs, capacities, and with one another."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from random import Random  # noqa: TID251 - the seed is in the test's name

import pytest

from shared.contracts.actors import Actor
from shared.contracts.chat_commands import (
    ChatAcceptOffer,
    ChatAssign,
    ChatCancelOffer,
    ChatClose,
    ChatDeclineOffer,
    ChatHandOver,
    ChatTake,
    ChatTransfer,
)
from shared.contracts.chats import (
    ChatAssigned,
    ChatCommandRefused,
    ChatFact,
    ChatOffered,
    ChatOfferEnded,
    ChatTransferred,
)
from shared.contracts.event import Model
from shared.platform.database import Database
from tests import desk_events as desk
from tests.conftest import Migrated
from tests.routing.builders import ANN, SUE
from tests.routing.contact import WORKERS, Contact
from tests.routing.wrongs import (
    HELD_UNASSIGNED,
    LEFT_BEHIND,
    MISCOUNTED,
    OFFERED_IN_VAIN,
    STUCK,
    WAIT_FOR_NOBODY,
)

pytestmark = pytest.mark.servers
CHATS = 24
BOB, CLEO = (Actor(role="agent", id=name) for name in ("bob", "cleo"))


@pytest.fixture
async def contact(migrated: Migrated) -> AsyncIterator[Contact]:
    """Ann, of sales, holds 24 chats and is away; Bob and Cleo, of care, have 12 slots each."""
    database = Database(await migrated("routing"), "routing", connections=WORKERS + 2)
    found = Contact(database)
    await found.hear(
        desk.a_tenant(),
        desk.a_department("sales"),
        desk.a_department("care"),
        desk.an_agent_document("ann", capacity=CHATS),
        *(desk.an_agent_document(name, capacity=12, departments=("care",)) for name in ("bob", "cleo")),
        *(desk.agent_changed(name) for name in ("ann", "bob", "cleo")),
    )
    await found.hear(*(desk.a_message(customer=f"+2782{n:07}") for n in range(CHATS)))
    await found.hear(desk.agent_changed("ann", "away", version=2))
    await found.connect()
    yield found
    await database.close()


async def held(contact: Contact) -> list[str]:
    return [one for (one,) in await contact.rows("select chat_id from chats order by chat_id")]


async def nothing_is_wrong(contact: Contact) -> None:
    """Every rule holds, every offer ended once, in the order it was told, but for those that stand."""
    for query in (MISCOUNTED, STUCK, LEFT_BEHIND, WAIT_FOR_NOBODY, HELD_UNASSIGNED, OFFERED_IN_VAIN):
        assert await contact.rows(query) == []
    assert await contact.rows("select * from parked_records") == []
    stands: dict[str, str] = {}
    versions: Counter[str] = Counter()
    for _, event in await contact.said():
        if not isinstance(event.data, ChatFact):
            continue
        versions[event.data.chat_id] += 1
        assert event.data.version == versions[event.data.chat_id]
        match event.data:
            case ChatOffered(chat_id=chat_id, to=to):
                assert chat_id not in stands, "offered twice"
                stands[chat_id] = to
            case ChatOfferEnded(chat_id=chat_id, to=to):
                assert stands.pop(chat_id) == to, "an end without an offer"
            case _:
                pass
    kept = await contact.rows("select chat_id, offered_to from chats where offer is not null")
    assert stands == dict(map(tuple, kept))


async def test_of_many_transfers_at_once_as_many_are_offered_as_there_are_slots(contact: Contact) -> None:
    await contact.hear(desk.an_agent_document("bob", capacity=5, revision=2, departments=("care",)))
    await contact.hear_at_once(
        [[ChatTransfer(by=ANN, chat_id=one, agent_id="bob")] for one in await held(contact)]
    )
    refusals = [e.data.reason for _, e in await contact.said() if isinstance(e.data, ChatCommandRefused)]
    assert refusals == ["agent_full"] * (CHATS - 5)
    assert await contact.count("select load from agents where agent_id = 'bob'") == 5
    await nothing_is_wrong(contact)


async def test_transfers_to_a_department_at_once_fill_its_members_and_no_more(contact: Contact) -> None:
    await contact.hear(desk.an_agent_document("bob", capacity=7, revision=2, departments=("care",)))
    await contact.hear_at_once(
        [[ChatTransfer(by=ANN, chat_id=one, department_id="care")] for one in await held(contact)]
    )
    loads = "select load from agents where agent_id in ('bob', 'cleo') order by agent_id"
    assert [load for (load,) in await contact.rows(loads)] == [7, 12]
    await nothing_is_wrong(contact)


@pytest.mark.parametrize("other", ["close", "decline", "cancel", "assign", "transfer", "accept"])
async def test_of_two_who_answer_an_offer_in_different_ways_one_is_in_time(
    contact: Contact, other: str
) -> None:
    chats = await held(contact)
    await contact.hear(*(ChatTransfer(by=ANN, chat_id=one, agent_id="bob") for one in chats[:12]))
    against: Callable[[str], Model] = {
        "close": lambda one: ChatClose(by=ANN, chat_id=one, expected_assignment_version=1),
        "decline": lambda one: ChatDeclineOffer(by=BOB, chat_id=one),
        "cancel": lambda one: ChatCancelOffer(by=ANN, chat_id=one),
        "assign": lambda one: ChatAssign(by=SUE, chat_id=one, agent_id="cleo", expected_assignment_version=1),
        "transfer": lambda one: ChatTransfer(by=ANN, chat_id=one, agent_id="cleo"),
        "accept": lambda one: ChatAcceptOffer(by=BOB, chat_id=one),
    }[other]
    races: list[list[Model]] = []
    for one in chats[:12]:
        both: list[list[Model]] = [[ChatAcceptOffer(by=BOB, chat_id=one)], [against(one)]]
        Random(one).shuffle(both)
        races += both
    await contact.hear_at_once(races)
    await contact.sweep()
    said = [event.data for _, event in await contact.said()]
    ends = [one for one in said if isinstance(one, ChatOfferEnded)]
    refusals = [one for one in said if isinstance(one, ChatCommandRefused)]
    assert len(ends) == len(refusals) == 12
    given = [one for one in said if isinstance(one, ChatTransferred)]
    assert len(given) == sum(one.outcome == "accepted" for one in ends)
    await nothing_is_wrong(contact)


@pytest.mark.parametrize("seed", range(4))
async def test_everything_that_ends_an_offer_at_once_ends_each_once(contact: Contact, seed: int) -> None:
    chance, chats = Random(seed), await held(contact)
    who = {one: chance.choice([BOB, CLEO]) for one in chats}
    await contact.hear_at_once([[ChatTransfer(by=ANN, chat_id=one, agent_id=who[one].id)] for one in chats])
    happens: list[list[Model]] = [
        [
            chance.choice(
                [
                    ChatAcceptOffer(by=who[one], chat_id=one),
                    ChatAcceptOffer(by=who[one], chat_id=one),
                    ChatDeclineOffer(by=who[one], chat_id=one),
                    ChatCancelOffer(by=ANN, chat_id=one),
                    ChatClose(by=ANN, chat_id=one),
                    ChatAssign(by=SUE, chat_id=one, department_id="care"),
                    desk.a_message("again", customer=f"+2782{chance.randrange(CHATS):07}"),
                ]
            )
        ]
        for one in chance.choices(chats, k=60)
    ]
    happens += [
        [desk.agent_changed("bob", "offline", version=2)],
        [desk.agent_changed("bob", "online", version=3)],
        [desk.agent_changed("cleo", draining=True, version=2)],
        [desk.agent_changed("ann", "offline", version=3)],
        [desk.an_agent_document("cleo", capacity=2, revision=2, departments=("care",))],
        [desk.an_agent_document("bob", capacity=3, revision=2, departments=())],
        [ChatHandOver(by=SUE, agent_id="ann")],
    ]
    chance.shuffle(happens)
    await contact.hear_at_once(happens)
    await contact.sweep()
    await nothing_is_wrong(contact)


@pytest.mark.parametrize("seed", range(3))
async def test_a_department_that_offers_fills_its_members_exactly_whoever_answers_takes_or_leaves(
    contact: Contact, seed: int
) -> None:
    chance = Random(seed)
    await contact.hear(
        desk.a_department("care", revision=2, mode="offer", take_allowed=True),
        desk.a_tenant(first_line_department="care", revision=2),
        *(
            desk.an_agent_document(name, capacity=3, revision=2, departments=("care",))
            for name in ("bob", "cleo")
        ),
    )
    writes: list[list[Model]] = [[desk.a_message(customer=f"+2783{n:07}")] for n in range(30)]
    await contact.hear_at_once(writes)
    await contact.sweep()
    assert await contact.count("select count(*) from chats where offered_to is not null") == 6
    ((chat_id, to),) = await contact.rows(
        "select chat_id, offered_to from chats where offered_to is not null order by chat_id limit 1"
    )
    await contact.hear(ChatAcceptOffer(by=Actor(role="agent", id=to), chat_id=chat_id))
    waiting = [one for (one,) in await contact.rows("select chat_id from chats where state = 'queued'")]
    for hour in range(3):
        happens: list[list[Model]] = []
        for one in waiting:
            by = chance.choice([BOB, CLEO])
            kinds = (ChatAcceptOffer, ChatDeclineOffer, ChatTake, ChatClose)
            happens.append([chance.choice(kinds)(by=SUE if chance.random() < 0.2 else by, chat_id=one)])
        happens += [
            [desk.agent_changed("bob", chance.choice(["away", "online"]), version=2 + 2 * hour)],
            [desk.agent_changed("bob", "online", version=3 + 2 * hour)],
        ]
        chance.shuffle(happens)
        await contact.hear_at_once(happens)
        await contact.sweep()
        await nothing_is_wrong(contact)
        assert await contact.count("select count(*) from agents where load > capacity") == 0
    assigned = [event.data for _, event in await contact.said() if isinstance(event.data, ChatAssigned)]
    assert "accepted" in {one.reason for one in assigned}
