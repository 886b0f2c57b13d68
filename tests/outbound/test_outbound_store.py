"""What outbound stores and claims, on a real PostgreSQL, from more than one connection."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from ops.fake_provider import Accept, Maybe, Script
from services.outbound.decisions.templates import state_of
from services.outbound.decisions.window import complete_since
from services.outbound.model import SenderKey, SendState
from services.outbound.store import EarlyReceipt
from shared.contracts.event import Cause
from shared.contracts.pair import Pair
from shared.contracts.provider_events import TemplateChanged
from tests.conftest import Migrated
from tests.outbound.builders import (
    BUSINESS,
    NOON,
    SECOND,
    SENDER,
    TENANT,
    a_channel_document,
    a_pair,
    a_receipt,
    a_request,
    a_send,
    a_sender,
    a_template_document,
    a_word,
)
from tests.outbound.harness import Desk, Dispatcher, a_desk

pytestmark = pytest.mark.servers
WAITING = "select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@pytest.fixture
async def url(migrated: Migrated) -> str:
    return await migrated("outbound")


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    async with a_desk(url) as desk:
        yield desk


async def test_what_was_saved_of_a_send_is_what_is_loaded(desk: Desk) -> None:
    full = replace(
        a_send(request=a_request(reply_to="m0", chat_id="c1", not_after=NOON)),
        state=SendState.FAILED,
        attempt=3,
        not_before=NOON,
        lease_until=NOON + SECOND,
        judged_by=NOON - SECOND,
        in_doubt_since=NOON,
        provider="whatsapp_cloud",
        provider_message_id="wamid.1",
        reason="because",
        provider_code="1",
        provider_detail="words",
        retry_not_before=NOON + SECOND,
        fallback=True,
    )
    async with desk.database.transaction() as tx:
        await desk.store.sends.add(tx, [full])
        added = (await desk.store.sends.load(tx, [full.ref]))[full.ref]
        await desk.store.sends.save(tx, [full])
        saved = (await desk.store.sends.load(tx, [full.ref]))[full.ref]
        by_message = await desk.store.sends.refs_of(tx, [(TENANT, "wamid.1"), ("other", "wamid.1")])
    assert added == a_send(request=full.request)
    assert saved == full
    assert by_message == {(TENANT, "wamid.1"): full.ref}


async def test_a_request_id_that_is_known_stays_as_it_is(desk: Desk) -> None:
    async with desk.database.transaction() as tx:
        await desk.store.sends.add(tx, [a_send()])
        await desk.store.sends.add(tx, [a_send(arrived_at=NOON + SECOND)])
        known = await desk.store.sends.load(tx, [a_send().ref])
    assert known == {a_send().ref: a_send()}


async def test_what_was_saved_of_a_pair_is_what_is_locked(desk: Desk) -> None:
    pairs = [a_pair(f"+2782000{n:04}") for n in range(3)]
    async with desk.database.transaction() as tx:
        locked = await desk.store.pairs.lock(tx, pairs)
        full = [
            replace(
                locked[pair],
                ledger=replace(locked[pair].ledger, last_inbound_at=NOON, disproved_at=NOON - SECOND),
                told_expires_at=NOON,
                version=4,
                echoed_version=3,
                next_turn_at=NOON,
            )
            for pair in pairs
        ]
        await desk.store.pairs.save(tx, full)
    async with desk.database.transaction() as tx:
        assert await desk.store.pairs.lock(tx, pairs) == {state.pair: state for state in full}


async def test_odd_addresses_stay_apart(desk: Desk) -> None:
    odd = [Pair("a:b", "sms", "c", "d%"), Pair("a", "sms", "b:c", "d%"), Pair("a", "sms", "b", "c:d%")]
    async with desk.database.transaction() as tx:
        assert set(await desk.store.pairs.lock(tx, odd)) == set(odd)


async def test_two_claims_at_once_never_take_the_same_pair(desk: Desk) -> None:
    for n in range(6):
        customer = f"+2782000{n:04}"
        await desk.hear(a_word(customer=customer, message_id=f"m{n}"), a_request(f"r{n}", customer=customer))
    async with desk.database.transaction() as one, desk.database.transaction() as two:
        first = await desk.store.pairs.claim(one, {SENDER: 4}, NOON)
        second = await desk.store.pairs.claim(two, {SENDER: 4}, NOON)
        assert (len(first), len(second)) == (4, 2)
        assert not set(first) & set(second)


async def test_a_claim_passes_over_a_pair_that_a_batch_holds_instead_of_waiting(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    async with desk.database.transaction() as batch, desk.database.transaction() as claim:
        await desk.store.pairs.lock(batch, [a_pair()])
        assert await desk.store.pairs.claim(claim, {SENDER: 4}, NOON) == {}


async def test_one_senders_backlog_leaves_another_its_share(desk: Desk) -> None:
    other = SenderKey(TENANT, "whatsapp", "+4930999999")
    await desk.hear(*(a_request(f"r{n}", customer=f"+2782000{n:04}") for n in range(20)))
    await desk.hear(a_request("other", business_address=other.business_address))
    async with desk.database.transaction() as tx:
        senders = await desk.store.senders.lock_due(tx, NOON)
        claimed = await desk.store.pairs.claim(tx, dict.fromkeys(senders, 5), NOON)
    assert set(senders) == {SENDER, other}
    assert sum(pair.business_address == BUSINESS for pair in claimed) == 5
    assert sum(pair.business_address == other.business_address for pair in claimed) == 1


async def test_a_sender_is_paced_by_one_process_at_a_time(desk: Desk) -> None:
    await desk.hear(a_request())
    async with desk.database.transaction() as one, desk.database.transaction() as two:
        assert set(await desk.store.senders.lock_due(one, NOON)) == {SENDER}
        assert set(await desk.store.senders.lock_due(two, NOON)) == set()
        paced = a_sender(next_slot_at=NOON, slowed_until=NOON, halted_reason="access_refused")
        await desk.store.senders.save(one, [paced])
    async with desk.database.transaction() as tx:
        assert await desk.store.senders.read(tx, [SENDER]) == {SENDER: paced}


async def test_two_dispatchers_send_every_message_once_and_each_pair_in_order(url: str) -> None:
    pairs, each = 12, 6
    script = Script(seed=3, chances=(Maybe(probability=0.5, answer=Accept(delay=0.01)),))
    async with a_desk(url, script) as desk:
        customers = [f"+2782000{n:04}" for n in range(pairs)]
        await desk.hear(*(a_word(customer=one, message_id=f"m{one}") for one in customers))
        await desk.hear(*(a_request(f"{n}{one}", customer=one) for n in range(each) for one in customers))
        open_calls: set[int] = set()
        await asyncio.gather(
            *(_drain(desk, other, open_calls) for other in (desk.dispatcher, desk.another_dispatcher()))
        )
        order = defaultdict(list)
        for request_id in desk.called:
            order[request_id[1:]].append(int(request_id[0]))
        assert dict(order) == {customer: list(range(each)) for customer in customers}
        assert max(open_calls) == 1, "a pair never had two messages with the provider"
        assert await desk.rows("select state, count(*) from sends group by state") == [
            ("accepted", pairs * each)
        ]


async def _drain(desk: Desk, dispatcher: Dispatcher, open_calls: set[int]) -> None:
    """Dispatch until every send has its outcome, looking each round at how many each pair has open."""
    while await desk.rows("select 1 from sends where state in ('queued', 'sending') limit 1"):
        await dispatcher.claims.dispatch(desk.running)
        rows = await desk.rows("select count(*) from sends where state = 'sending' group by pair_key")
        open_calls |= {count for (count,) in rows}
        await dispatcher.calls.wait_for_news(0.05)
        if answered := dispatcher.calls.waiting():
            await dispatcher.records.record(desk.running, answered)
        desk.clock.at += SECOND / 50
    await dispatcher.calls.finish()


async def test_an_older_revision_of_a_document_changes_nothing(desk: Desk) -> None:
    await desk.hear(a_channel_document(revision=3, provider_account="new"))
    await desk.hear(a_channel_document(revision=2, provider_account="old"))
    async with desk.database.transaction() as tx:
        (channel,) = (await desk.store.documents.channels(tx, [SENDER]))[SENDER]
    assert channel.line.provider_account == "new"


async def test_the_newest_of_several_revisions_in_a_batch_counts(desk: Desk) -> None:
    await desk.hear(*(a_channel_document(revision=n, provider_account=f"account{n}") for n in (3, 5, 4)))
    async with desk.database.transaction() as tx:
        (channel,) = (await desk.store.documents.channels(tx, [SENDER]))[SENDER]
    assert channel.line.provider_account == "account5"


async def test_a_providers_word_on_a_template_holds_until_its_document_is_revised(desk: Desk) -> None:
    async def state() -> str:
        async with desk.database.transaction() as tx:
            found = await desk.store.documents.templates(tx, [(TENANT, "come_back")])
        return state_of(found[(TENANT, "come_back")][0])

    assert await state() == "approved"
    await desk.hear(TemplateChanged(name="come_back", language="en", state="PAUSED"))
    assert await state() == "PAUSED"
    await desk.hear(a_template_document(revision=1, parameters=1, category="marketing"))
    assert await state() == "PAUSED", "the same revision read again"
    await desk.hear(a_template_document(revision=2))
    assert await state() == "approved"


async def test_a_retired_template_is_not_found(desk: Desk) -> None:
    await desk.hear(a_template_document(revision=2, retired=True))
    async with desk.database.transaction() as tx:
        assert await desk.store.documents.templates(tx, [(TENANT, "come_back")]) == {}


async def test_templates_are_locked_after_pairs_so_that_no_two_transactions_wait_for_each_other(
    desk: Desk,
) -> None:
    paused = TemplateChanged(name="come_back", language="en", state="PAUSED")
    async with desk.database.transaction() as tx:
        await desk.store.pairs.lock(tx, [a_pair()])
        batch = asyncio.create_task(desk.hear(paused, a_word()))
        async with asyncio.timeout(10):
            while not await desk.rows(WAITING):
                assert not batch.done()
        await tx.execute(text("set local lock_timeout = '200ms'"))
        await desk.store.documents.mark_templates(tx, [(TENANT, paused)])
    await batch


async def test_early_receipts_are_given_out_once_in_the_order_of_the_provider(desk: Desk) -> None:
    early = [
        EarlyReceipt(Cause(TENANT, f"c{n}", "correlation", "causation"), a_receipt(at=NOON - n * SECOND))
        for n in range(3)
    ]
    async with desk.database.transaction() as tx:
        await desk.store.receipts.keep(tx, early + early, NOON)
        assert await desk.store.receipts.take(tx, [(TENANT, "wamid.1")]) == list(reversed(early))
        assert await desk.store.receipts.take(tx, [(TENANT, "wamid.1")]) == []


@pytest.mark.parametrize(
    ("firsts", "expected"),
    [
        pytest.param([], None, id="nothing was ever read"),
        pytest.param([(0, 0, NOON)], None, id="read from the first record"),
        pytest.param([(0, 0, NOON), (1, 5, NOON - SECOND)], NOON - SECOND, id="one partition was cut off"),
        pytest.param([(0, 9, NOON - SECOND), (1, 5, NOON)], NOON, id="the latest beginning counts"),
        pytest.param([(0, 0, NOON), (0, 7, NOON)], None, id="a partition begins once"),
    ],
)  # fmt: skip
async def test_since_when_nothing_is_missing(
    desk: Desk, firsts: list[tuple[int, int, object]], expected: object
) -> None:
    async with desk.database.transaction() as tx:
        for partition, offset, at in firsts:
            await desk.store.hearing.begin(tx, {partition: (offset, at)})  # type: ignore[dict-item]
        assert complete_since(await desk.store.hearing.beginnings(tx)) == expected


async def test_the_queue_is_the_longest_due_first(desk: Desk) -> None:
    for n, ago in enumerate((1, 3, 2)):
        desk.clock.at = NOON - ago * timedelta(minutes=1)
        await desk.hear(a_request(f"r{n}", customer=f"+2782000{n:04}"))
    async with desk.database.transaction() as tx:
        claimed = await desk.store.pairs.claim(tx, {SENDER: 2}, NOON)
    assert [pair.customer_address[-1] for pair in claimed] == ["1", "2"]
