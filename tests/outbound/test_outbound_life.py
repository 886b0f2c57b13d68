"""The life of a send on a real database against a fake provider: once, in order, in the window."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from ops.fake_provider import Accept, Cut, Fail, Hang, Script, ServerFault
from services.outbound.decisions.receipts import AFTER_FAILURE
from services.outbound.model import Rules, SendState
from tests.conftest import Migrated
from tests.outbound.builders import (
    CUSTOMER,
    DAY,
    NOON,
    RULES,
    SECOND,
    a_receipt,
    a_request,
    a_template,
    a_word,
    an_event,
)
from tests.outbound.harness import Desk, a_desk

pytestmark = pytest.mark.servers
OTHER = "+27820000002"
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def url(migrated: Migrated) -> str:
    return await migrated("outbound")


@pytest.fixture
async def desk(url: str) -> AsyncIterator[Desk]:
    async with a_desk(url) as desk:
        yield desk


def told(*answers: Accept | Fail | ServerFault | Cut | Hang, customer: str = CUSTOMER) -> Script:
    return Script(recipients={customer: answers})


async def test_a_text_in_the_window_is_sent_once_and_its_receipts_follow(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    await desk.dispatch_all()
    assert desk.called == ["r1"]
    assert await desk.deliveries() == [("accepted", None)]
    await desk.hear_receipts()
    statuses = [status for status, _ in await desk.deliveries()]
    assert statuses == ["accepted", "sent", "delivered", "read"]
    await desk.hear_receipts()
    assert len(await desk.deliveries()) == 4, "receipts that come twice say nothing new"


async def test_nothing_is_sent_while_a_batch_is_handled(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    assert desk.called == []
    assert (await desk.send_of()).state is SendState.QUEUED


async def test_the_same_request_again_is_no_second_message(desk: Desk) -> None:
    for event_id in ("e1", "e1", "e2"):
        await desk.hear(a_word(), an_event(a_request(), event_id=event_id))
        await desk.dispatch_all()
    assert desk.called == ["r1"]


async def test_out_of_the_window_nothing_leaves_and_the_refusal_says_since_when(desk: Desk) -> None:
    await desk.hear(a_word(NOON - 25 * timedelta(hours=1)), a_request())
    await desk.dispatch_all()
    assert desk.called == []
    assert await desk.deliveries() == [("refused", "window_closed")]
    refused = (await desk.said())[-1].data.model_dump(mode="json")
    assert refused["window"] == {
        "state": "closed",
        "last_inbound_at": "2026-11-21T11:00:00Z",
        "expires_at": "2026-11-22T10:59:50Z",
    }


async def test_a_refusal_waits_for_inbound_that_was_published_before_the_request(desk: Desk) -> None:
    desk.clock.at += MINUTE
    await desk.hear(a_request())
    await desk.dispatch()
    assert await desk.deliveries() == [], "inbound has been read up to noon only"
    await desk.hear(a_word(desk.clock.at))
    desk.clock.at += SECOND
    await desk.dispatch_all()
    assert await desk.deliveries() == [("accepted", None)]


async def test_a_refusal_waits_for_no_other_input_than_those_that_open_windows(desk: Desk) -> None:
    desk.clock.at += MINUTE
    await desk.hear(a_request())
    await desk.has_read_up_to(desk.clock.at, ["inbound-messages.v1", "provider-events.v1"])
    await desk.dispatch()
    assert await desk.deliveries() == [("refused", "window_closed")]


async def test_a_refusal_for_want_of_a_document_waits_for_the_directory(desk: Desk) -> None:
    desk.clock.at += MINUTE
    await desk.hear(a_request(content=a_template("unheard_of")))
    await desk.has_read_up_to(desk.clock.at, ["inbound-messages.v1", "provider-events.v1"])
    await desk.dispatch()
    assert await desk.deliveries() == []
    await desk.has_read_up_to(desk.clock.at)
    await desk.later(SECOND)
    await desk.dispatch()
    assert await desk.deliveries() == [("refused", "template_not_found")]


async def test_a_window_nobody_knows_is_refused_after_a_bounded_wait(desk: Desk) -> None:
    desk.clock.at += MINUTE
    await desk.hear(a_request())
    await desk.dispatch()
    desk.clock.at += RULES.hearing_patience
    await desk.dispatch()
    assert await desk.deliveries() == [("refused", "window_unknown")]


async def test_a_log_that_was_cut_off_before_we_read_it_leaves_the_window_unknown(url: str) -> None:
    async with a_desk(url) as desk:
        await desk.hear(a_word(customer=OTHER), first_offset=17)
        await desk.hear(a_request())
        await desk.dispatch_all()
        assert await desk.deliveries() == [("refused", "window_unknown")]
        await desk.later(DAY)
        await desk.hear(a_request("r2"))
        await desk.dispatch_all()
        assert await desk.deliveries("r2") == [("refused", "window_closed")], "it knows 24 hours by now"


async def test_a_refused_message_stays_refused_when_the_customer_writes(desk: Desk) -> None:
    await desk.hear(a_request())
    await desk.dispatch_all()
    await desk.hear(a_word(), a_request("r2"))
    await desk.dispatch_all()
    assert desk.called == ["r2"]


async def test_only_the_template_that_the_request_names_stands_in_for_a_text(desk: Desk) -> None:
    await desk.hear(a_request(), a_request("r2", fallback_template=a_template()))
    await desk.dispatch_all()
    assert [(call.correlation_id, call.kind) for call in desk.provider.log.calls] == [("acme|r2", "template")]
    assert await desk.deliveries("r2") == [("accepted", "fallback_template")]


async def test_a_pairs_messages_go_one_by_one_in_the_order_they_came(desk: Desk) -> None:
    await desk.hear(a_word(), *(a_request(f"r{n}") for n in range(5)))
    await desk.dispatcher.claims.dispatch(desk.running)
    assert await desk.rows("select request_id from sends where state = 'sending'") == [("r0",)]
    assert not await desk.dispatcher.claims.dispatch(desk.running), "the pair has one in flight"
    await desk.finish_calls()
    await desk.dispatch_all()
    assert desk.called == ["r0", "r1", "r2", "r3", "r4"]


async def test_a_slow_customer_holds_up_nobody_else(url: str) -> None:
    async with a_desk(url, told(Accept(delay=0.5))) as desk:
        await desk.hear(a_word(), a_word(customer=OTHER, message_id="m2"))
        await desk.hear(a_request("slow"), a_request("quick", customer=OTHER))
        await desk.dispatcher.claims.dispatch(desk.running)
        while not (answered := desk.dispatcher.calls.waiting()):
            await desk.dispatcher.calls.wait_for_news(5)
        assert [one.message.send.request.request_id for one in answered] == ["quick"]


async def test_a_call_cut_after_the_message_was_taken_is_in_doubt_and_settled_by_its_receipt(
    url: str,
) -> None:
    async with a_desk(url, told(Cut(accepted=True))) as desk:
        await desk.hear(a_word(), a_request())
        await desk.dispatch_all()
        assert await desk.deliveries() == [("in_doubt", "call_cut_ClientPayloadError")]
        await desk.hear_receipts(lambda receipt: receipt.status == "sent")
        assert [status for status, _ in await desk.deliveries()] == ["in_doubt", "sent"]
        await desk.later(RULES.in_doubt_settle + SECOND)
        await desk.dispatch_all()
        assert desk.called == ["r1"]
        assert [status for status, _ in await desk.deliveries()] == ["in_doubt", "sent"]


@pytest.mark.parametrize("answer", [ServerFault(accepted=False), Cut(accepted=False), Hang(accepted=False)])
async def test_a_message_in_doubt_holds_its_pair_and_ends_unknown(
    url: str, answer: ServerFault | Cut | Hang
) -> None:
    rules = Rules(rate_per_second=1000, call_deadline=SECOND / 5)
    async with a_desk(url, told(answer), rules=rules) as desk:
        await desk.hear(a_word(), a_request())
        await desk.dispatch()
        await desk.hear(a_request("r2"))
        await desk.later(RULES.in_doubt_hold - SECOND)
        await desk.dispatch()
        assert desk.called == ["r1"], "the pair is held back"
        await desk.later(SECOND)
        await desk.dispatch()
        assert desk.called == ["r1", "r2"], "but not for ever"
        await desk.later(RULES.in_doubt_settle)
        await desk.dispatch_all()
        assert [status for status, _ in await desk.deliveries()] == ["in_doubt", "unknown"]
        assert desk.called == ["r1", "r2"], "and it is never sent again"


async def test_a_process_lost_between_claim_and_outcome_leaves_its_message_in_doubt(desk: Desk) -> None:
    await desk.hear(a_word(), a_request(), a_request("r2"))
    lost = desk.another_dispatcher()
    await lost.claims.dispatch(desk.running)
    await lost.calls.finish()  # its outcome is never stored
    await desk.dispatch()
    assert await desk.deliveries() == [], "within its lease nobody touches it"
    await desk.later(RULES.lease)
    await desk.dispatch()
    assert await desk.deliveries() == [("in_doubt", "lease_expired")]
    await desk.later(RULES.in_doubt_hold)
    await desk.dispatch_all()
    assert desk.called == ["r1", "r2"]
    await desk.hear_receipts(lambda receipt: receipt.status == "delivered")
    assert [status for status, _ in await desk.deliveries()] == ["in_doubt", "delivered"]


async def test_a_receipt_may_come_before_the_answer(url: str) -> None:
    async with a_desk(url, told(Accept(receipts_first=True))) as desk:
        await desk.hear(a_word(), a_request(), a_request("r2"))
        await desk.dispatcher.claims.dispatch(desk.running)
        await desk.dispatcher.calls.finish()
        await desk.hear_receipts(lambda receipt: receipt.status == "sent")
        assert await desk.deliveries() == [("sent", None)]
        await desk.dispatch_all()
        assert await desk.deliveries() == [("sent", None)], "accepted would go backwards"
        assert desk.called == ["r1", "r2"]


async def test_a_receipt_without_our_id_waits_for_the_answer(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    await desk.dispatcher.claims.dispatch(desk.running)
    await desk.dispatcher.calls.finish()
    wamid = desk.provider.log.calls[0].wamid
    await desk.hear(a_receipt("delivered", None, provider_message_id=wamid))
    assert await desk.deliveries() == []
    await desk.finish_calls()
    assert await desk.deliveries() == [("accepted", None), ("delivered", None)]
    assert await desk.rows("select 1 from early_receipts") == []


async def test_a_receipt_that_met_its_message_in_no_transaction_is_placed_by_the_timer(desk: Desk) -> None:
    await desk.hear(a_word(), a_request(), a_receipt("delivered", None, provider_message_id="wamid.late"))
    await desk.dispatch_all()
    await desk.rows("update sends set provider_message_id = 'wamid.late' returning 1")
    await desk.later(timedelta(minutes=2))
    assert [status for status, _ in await desk.deliveries()] == ["accepted", "delivered"]


async def test_a_late_word_that_the_window_was_closed_is_told_when_the_timer_places_it(desk: Desk) -> None:
    failed = a_receipt("failed", None, provider_message_id="wamid.late", code="131047")
    await desk.hear(a_word(), a_request(), failed)
    await desk.dispatch_all()
    await desk.rows("update sends set provider_message_id = 'wamid.late' returning 1")
    await desk.later(timedelta(minutes=2))
    assert await desk.deliveries() == [("accepted", None), ("failed", "window_closed")]
    assert [news.window.state for news in await desk.pair_news()] == ["open", "closed"]


async def test_a_receipt_for_a_message_that_is_not_ours_is_forgotten(desk: Desk) -> None:
    await desk.hear(a_receipt("delivered", None, provider_message_id="wamid.foreign"))
    await desk.later(timedelta(minutes=2))
    assert await desk.rows("select 1 from early_receipts") == []
    assert await desk.said() == []


async def test_a_delivery_after_a_failure_wins(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    await desk.dispatch_all()
    await desk.hear(a_receipt("failed", code="131026"), a_receipt("sent"), a_receipt("delivered"))
    assert await desk.deliveries() == [
        ("accepted", None),
        ("failed", "undeliverable"),
        ("delivered", AFTER_FAILURE),
    ]


async def test_the_providers_word_that_the_window_is_closed_is_told_once_and_believed(url: str) -> None:
    async with a_desk(url, told(Fail(code=131047))) as desk:
        await desk.hear(a_word(), a_request(), a_request("r2"))
        await desk.dispatch_all()
        assert desk.called == ["r1"]
        assert await desk.deliveries() == [("failed", "window_closed")]
        assert await desk.deliveries("r2") == [("refused", "window_closed")]
        assert [news.window.state for news in await desk.pair_news()] == ["open", "closed"]
        await desk.hear(a_word(NOON, message_id="m2"), a_request("r3"))
        await desk.dispatch_all()
        assert desk.called == ["r1", "r3"]
        assert [news.window.state for news in await desk.pair_news()] == ["open", "closed", "open"]


async def test_a_late_word_that_the_window_was_closed_corrects_the_ledger_too(url: str) -> None:
    async with a_desk(url, told(Accept(failed_later="131047"))) as desk:
        await desk.hear(a_word(), a_request())
        await desk.dispatch_all()
        await desk.hear_receipts(lambda receipt: receipt.status == "failed")
        await desk.hear(a_request("r2"))
        await desk.later(SECOND)
        await desk.dispatch_all()
        assert await desk.deliveries() == [("accepted", None), ("failed", "window_closed")]
        assert await desk.deliveries("r2") == [("refused", "window_closed")]


async def test_a_token_that_expired_burns_no_messages(url: str) -> None:
    script = Script(recipients={f"+2782000{n:04}": (Fail(code=190, status=401),) for n in range(60)})
    async with a_desk(url, script, rules=Rules(rate_per_second=100)) as desk:
        for n in range(60):
            customer = f"+2782000{n:04}"
            await desk.hear(
                a_word(customer=customer, message_id=f"m{n}"), a_request(f"r{n}", customer=customer)
            )
        await desk.dispatch_all()
        assert len(desk.called) <= 10, "what was in flight with the first refusal, no more"
        states = await desk.rows("select state, count(*) from sends group by state")
        assert states == [("held", 60)]
        assert (await desk.deliveries("r59")) == [("held", "sender_halted")]


async def test_a_limit_on_one_pair_delays_that_pair_alone_and_keeps_its_order(url: str) -> None:
    async with a_desk(url, told(Fail(code=131056))) as desk:
        await desk.hear(a_word(), a_word(customer=OTHER, message_id="m2"))
        await desk.hear(a_request(), a_request("r2"), a_request("other", customer=OTHER))
        await desk.dispatch_all(3)
        assert sorted(desk.called) == ["other", "r1"]
        await desk.later(SECOND)
        await desk.dispatch_all()
        assert desk.called[2:] == ["r1", "r2"]


async def test_a_throttled_message_is_tried_again_later_and_its_sender_slowed(url: str) -> None:
    async with a_desk(url, told(Fail(code=130429, retry_after=7))) as desk:
        await desk.hear(a_word(), a_request())
        await desk.dispatch()
        assert await desk.deliveries() == [], "a retry is no status"
        (slowed_until,) = (await desk.rows("select slowed_until from senders"))[0]
        assert slowed_until > desk.clock.at
        await desk.later(6 * SECOND)
        await desk.dispatch()
        assert desk.called == ["r1"]
        await desk.later(SECOND)
        await desk.dispatch()
        assert desk.called == ["r1", "r1"]
        assert await desk.deliveries() == [("accepted", None)]


async def test_the_window_is_judged_again_before_every_retry(url: str) -> None:
    async with a_desk(url, told(Fail(code=131016))) as desk:
        await desk.hear(a_word(NOON - DAY + RULES.window_margin + SECOND / 10), a_request())
        await desk.dispatch()
        await desk.later(2 * SECOND)
        await desk.dispatch()
        assert desk.called == ["r1"]
        assert await desk.deliveries() == [("refused", "window_closed")]


async def test_a_provider_that_calls_a_template_paused_is_not_asked_again(url: str) -> None:
    async with a_desk(url, told(Fail(code=132015))) as desk:
        await desk.hear(a_request(content=a_template()), a_request("r2", content=a_template()))
        await desk.dispatch_all()
        assert desk.called == ["r1"]
        assert await desk.deliveries() == [("failed", "template_paused")]
        assert await desk.deliveries("r2") == [("refused", "template_not_sendable")]


async def test_a_senders_rate_is_never_exceeded(url: str) -> None:
    async with a_desk(url, rules=Rules(rate_per_second=20)) as desk:
        for n in range(30):
            customer = f"+2782000{n:04}"
            await desk.hear(
                a_word(customer=customer, message_id=f"m{n}"), a_request(f"r{n}", customer=customer)
            )
        counts = []
        for _ in range(20):
            before = len(desk.called)
            await desk.dispatch()
            counts.append(len(desk.called) - before)
            desk.clock.at += SECOND / 20
        assert sum(counts) in {19, 20}, "a second's worth in a second"
        assert max(counts) <= 2, "and no burst"


async def test_a_provider_that_cannot_be_reached_is_tried_again(desk: Desk) -> None:
    await desk.hear(a_word(), a_request())
    await desk.rows("update channel_documents set base_url = 'http://127.0.0.1:1' returning 1")
    await desk.dispatch()
    send = await desk.send_of()
    assert (send.state, send.reason) == (SendState.QUEUED, "provider_unreachable")
    assert send.not_before is not None
    assert send.not_before > desk.clock.at
