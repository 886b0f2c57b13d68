"""The fake provider: its script, its log, and receipts that misbehave as told."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ops.fake_provider import (
    Accept,
    Fail,
    FakeProvider,
    Hang,
    Maybe,
    ProviderReceipt,
    ReceiptHabits,
    Script,
    ServerFault,
    serving,
)
from ops.fake_provider.events import receipt_event
from ops.fake_provider.receipts import plan
from ops.fake_provider.script import chance
from shared.contracts import catalogue

NUMBER = "+27820000001"
QUICK = ReceiptHabits(sent_after=0, delivered_after=0.001, read_after=0.002)


def a_body(request_id: str = "r1", to: str = NUMBER) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "to": to,
        "type": "text",
        "text": {"body": "hi"},
        "biz_opaque_callback_data": f"acme|{request_id}",
    }


async def post(url: str, body: Any, path: str = "/v26.0/1015/messages") -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.post(url + path, json=body) as answer:
        return answer.status, json.loads(await answer.read())


async def test_a_message_is_taken_logged_and_followed_by_its_receipts(tmp_path: Path) -> None:
    told: list[ProviderReceipt] = []

    async def tell(receipt: ProviderReceipt) -> None:
        told.append(receipt)

    habits = QUICK.model_copy(update={"read_share": 1.0, "repeated_share": 0.0, "disordered_share": 0.0})
    provider = FakeProvider(tell=tell, habits=habits, log_path=tmp_path / "log")
    async with serving(provider) as url:
        status, answer = await post(url, a_body())
        await provider.receipts_sent()
        async with aiohttp.ClientSession() as session, session.get(url + "/log") as shown:
            log = json.loads(await shown.read())
    assert status == 200
    wamid = answer["messages"][0]["id"]
    assert [(one["correlation_id"], one["kind"], one["wamid"], one["accepted"]) for one in log] == [
        ("acme|r1", "text", wamid, True)
    ]
    assert [(one.status, one.wamid) for one in told] == [
        ("sent", wamid),
        ("delivered", wamid),
        ("read", wamid),
    ]
    lines = [json.loads(line)["entry"] for line in (tmp_path / "log").read_text().splitlines()]
    assert lines == ["call", "receipt", "receipt", "receipt"]


async def test_answers_told_for_a_recipient_come_in_turn_then_chances_then_success() -> None:
    provider = FakeProvider()
    script = Script(
        recipients={NUMBER: (Fail(code=130429, status=429, retry_after=3), ServerFault(accepted=True))}
    )
    async with serving(provider) as url:
        async with (
            aiohttp.ClientSession() as session,
            session.put(url + "/script", data=script.model_dump_json()) as learnt,
        ):
            assert learnt.status == 200
        answers = [await post(url, a_body(f"r{n}")) for n in range(3)]
    assert [status for status, _ in answers] == [429, 500, 200]
    assert answers[0][1]["error"]["code"] == 130429
    assert [call.accepted for call in provider.log.calls] == [False, True, True]


@pytest.mark.parametrize(
    "body",
    [[], {}, a_body() | {"to": ""}, a_body() | {"type": "image"}, a_body() | {"messaging_product": "x"}],
)
async def test_what_is_no_message_is_refused_and_not_logged(body: Any) -> None:
    provider = FakeProvider()
    async with serving(provider) as url:
        status, answer = await post(url, body)
    assert (status, answer["error"]["code"]) == (400, 100)
    assert provider.log.calls == []


async def test_a_script_that_is_none_is_refused() -> None:
    async with serving(FakeProvider()) as url, aiohttp.ClientSession() as session:
        async with session.put(url + "/script", data='{"chances": [{"probability": 2}]}') as answer:
            assert answer.status == 400
        async with session.get(url + "/nowhere") as answer:
            assert answer.status == 404


def test_the_same_seed_draws_the_same_and_shares_come_out_as_told() -> None:
    script = Script(
        seed=7,
        chances=(
            Maybe(probability=0.2, answer=Fail(code=130429)),
            Maybe(probability=0.1, answer=Hang(accepted=True)),
        ),
    )
    drawn = [script.answer(NUMBER, 0, chance(7, n)).kind for n in range(5000)]
    assert drawn == [script.answer(NUMBER, 0, chance(7, n)).kind for n in range(5000)]
    counts = Counter(drawn)
    assert 900 < counts["fail"] < 1100
    assert 420 < counts["hang"] < 580


def test_receipts_are_repeated_and_disordered_in_their_shares() -> None:
    habits = ReceiptHabits(read_share=1, repeated_share=0.5, disordered_share=0.3)
    plans = [plan(habits, Accept(), 1, f"wamid.{n}") for n in range(2000)]
    assert 900 < sum(len(one) == 4 for one in plans) < 1100
    assert 500 < sum(one[0].status == "read" for one in plans) < 700
    assert plan(habits, Accept(), 1, "wamid.0") == plans[0]


def test_a_message_may_fail_after_it_was_taken() -> None:
    planned = plan(ReceiptHabits(), Accept(failed_later="131047"), 1, "wamid.1")
    assert [(one.status, one.code) for one in planned] == [("sent", None), ("failed", "131047")]


async def test_a_receipt_becomes_an_event_of_its_tenant_and_pair() -> None:
    provider = FakeProvider(habits=QUICK)
    async with serving(provider) as url:
        await post(url, a_body())
        await provider.receipts_sent()
    receipt = provider.log.receipts[0]
    event = receipt_event(receipt, 1, {"1015": "+4930123456"})
    assert event is not None
    assert (event.tenant_id, event.data.correlation_id, event.data.status) == (
        "acme",
        "acme|r1",
        receipt.status,
    )
    assert catalogue.key_of(event) == "acme:whatsapp:+4930123456:+27820000001"
    again = receipt_event(receipt, 2)
    assert again is not None
    assert again.id != event.id, "a second callback is a second event"
    assert receipt_event(receipt.model_copy(update={"correlation_id": None}), 1) is None
