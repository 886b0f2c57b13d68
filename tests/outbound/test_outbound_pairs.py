"""What readers of ``pairs.v1`` are told, and how an older word that came last is put right."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared.contracts.content import Reaction
from shared.contracts.provider_events import CallReceived
from tests.conftest import Migrated
from tests.outbound.builders import BUSINESS, CUSTOMER, DAY, NOON, RULES, SECOND, a_word, an_event
from tests.outbound.harness import Desk, a_desk

pytestmark = pytest.mark.servers
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def desk(migrated: Migrated) -> AsyncIterator[Desk]:
    async with a_desk(await migrated("outbound")) as desk:
        yield desk


async def test_a_window_that_opens_is_told_with_its_end(desk: Desk) -> None:
    await desk.hear(a_word(NOON - MINUTE))
    (news,) = await desk.pair_news()
    assert news.model_dump(mode="json", exclude={"consent"}) == {
        "channel": "whatsapp",
        "business_address": BUSINESS,
        "customer_address": CUSTOMER,
        "window": {
            "state": "open",
            "last_inbound_at": "2026-11-22T11:59:00Z",
            "expires_at": "2026-11-23T11:58:50Z",
        },
        "version": 1,
    }


async def test_a_burst_of_messages_is_told_once(desk: Desk) -> None:
    await desk.hear(*(a_word(NOON - MINUTE + n * SECOND, message_id=f"m{n}") for n in range(20)))
    await desk.hear(a_word(NOON, message_id="later"))
    assert len(await desk.pair_news()) == 1


async def test_readers_never_see_the_end_more_than_a_step_too_early_and_never_too_late(desk: Desk) -> None:
    for n in range(30):
        desk.clock.at = NOON + n * MINUTE
        await desk.hear(a_word(desk.clock.at, message_id=f"m{n}"))
        told = (await desk.pair_news())[-1].window.expires_at
        true_end = desk.clock.at + DAY - RULES.window_margin
        assert told is not None
        assert timedelta(0) <= true_end - told < 5 * MINUTE
    assert len(await desk.pair_news()) == 6


async def test_an_old_message_redelivered_opens_nothing_and_is_no_news(desk: Desk) -> None:
    await desk.hear(a_word(NOON - timedelta(hours=30)))
    assert await desk.pair_news() == []


async def test_a_reaction_opens_nothing_and_a_call_opens(desk: Desk) -> None:
    await desk.hear(a_word(content=Reaction(emoji="+1", to="m0")))
    assert await desk.pair_news() == []
    await desk.hear(CallReceived(business_address=BUSINESS, customer_address=CUSTOMER, at=NOON))
    assert [news.window.state for news in await desk.pair_news()] == ["open"]


async def test_an_sms_has_no_window(desk: Desk) -> None:
    await desk.hear(a_word(channel="sms"))
    assert await desk.pair_news() == []


async def test_messages_to_a_second_business_address_are_another_window(desk: Desk) -> None:
    await desk.hear(a_word(), a_word(business_address="+4930999999"))
    assert [news.business_address for news in await desk.pair_news()] == [BUSINESS, "+4930999999"]


async def test_an_older_version_read_last_is_answered_by_the_present_state(desk: Desk) -> None:
    await desk.hear(a_word(NOON - timedelta(hours=1)))
    await desk.hear(a_word(NOON, message_id="m2"))
    first, second = await desk.pair_news()
    ours = [
        an_event(said, source="outbound", event_id=f"e{n}") for n, said in enumerate((first, second, first))
    ]
    await desk.hear(*ours[:2])
    assert len(await desk.pair_news()) == 2, "read back in order, nothing is to be said"
    await desk.hear(ours[2])
    again = (await desk.pair_news())[2]
    assert (again.version, again.window) == (3, second.window)
    await desk.hear(an_event(again, source="outbound"))
    assert len(await desk.pair_news()) == 3


async def test_stale_words_are_answered_once_for_their_pair_and_batch(desk: Desk) -> None:
    await desk.hear(a_word(NOON - timedelta(hours=1)))
    await desk.hear(a_word(NOON, message_id="m2"))
    first, second = await desk.pair_news()
    stale = an_event(first, source="outbound", event_id="first")
    await desk.hear(stale, an_event(second, source="outbound"), stale, stale)
    assert [news.version for news in await desk.pair_news()] == [1, 2, 3]
    await desk.hear(stale)
    assert len(await desk.pair_news()) == 3, "the answer is on its way and comes last"


async def test_after_a_restore_versions_go_on_from_what_readers_know(desk: Desk) -> None:
    await desk.hear(a_word(NOON - timedelta(hours=1)))
    (news,) = await desk.pair_news()
    forgotten = news.model_copy(update={"version": 7})
    await desk.hear(an_event(forgotten, source="outbound"))
    await desk.hear(a_word(NOON, message_id="m2"))
    assert [news.version for news in await desk.pair_news()] == [1, 8]
    await desk.hear(an_event(forgotten.model_copy(update={"version": 9}), source="outbound"))
    await desk.hear(an_event((await desk.pair_news())[-1], source="outbound"))
    last = (await desk.pair_news())[-1]
    assert last.version == 10, "what was said meanwhile hides behind a version that was forgotten too"


async def test_what_others_say_on_pairs_is_not_our_echo(desk: Desk) -> None:
    await desk.hear(a_word())
    (news,) = await desk.pair_news()
    await desk.hear(an_event(news.model_copy(update={"version": 9}), source="elsewhere"))
    assert await desk.rows("select version, echoed_version from pairs") == [(1, 0)]
