"""The WhatsApp Cloud adapter over real HTTP: what the wire can do to a call."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from ops.fake_provider import Accept, Answer, Cut, Fail, FakeProvider, Hang, Script, ServerFault, serving
from services.outbound.model import Accepted, CallOutcome, DeclineClass, Declined, InDoubt
from services.outbound.providers.whatsapp_cloud import WhatsAppCloud
from tests.outbound.builders import ACCOUNT, CUSTOMER, a_line, a_message, a_request, a_sending_one

C = DeclineClass
DEADLINE = 0.3
"""Seconds; long enough for an answer of this machine, short enough to wait for."""


@pytest.fixture
async def adapter() -> AsyncIterator[WhatsAppCloud]:
    adapter = WhatsAppCloud({"CLOUD_TOKEN": "secret"}.get, 26)
    yield adapter
    await adapter.close()


async def called(adapter: WhatsAppCloud, answer: Answer) -> tuple[CallOutcome, FakeProvider]:
    provider = FakeProvider(Script(recipients={CUSTOMER: (answer,)}), secret="secret")
    async with serving(provider) as url:
        outcome = await adapter.send(a_message(line=a_line(base_url=url)), deadline_seconds=DEADLINE)
    return outcome, provider


async def test_an_accepted_message_has_the_providers_id(adapter: WhatsAppCloud) -> None:
    outcome, provider = await called(adapter, Accept())
    (call,) = provider.log.calls
    assert outcome == Accepted(call.wamid or "")
    assert (call.account, call.recipient, call.kind, call.correlation_id) == (
        ACCOUNT,
        CUSTOMER,
        "text",
        "acme|r1",
    )


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (ServerFault(accepted=True), InDoubt("provider_error_500")),
        (ServerFault(accepted=False, status=502), InDoubt("provider_error_502")),
        (Cut(accepted=True), InDoubt("call_cut_ClientPayloadError")),
        (Cut(accepted=False), InDoubt("call_cut_ClientPayloadError")),
        (Hang(accepted=True), InDoubt("call_cut_TimeoutError")),
        (Hang(accepted=False), InDoubt("call_cut_TimeoutError")),
        (Fail(code=131000, status=500), InDoubt("provider_error_131000")),
    ],
)
async def test_whatever_happens_after_the_request_left_is_in_doubt(
    adapter: WhatsAppCloud, answer: Answer, expected: InDoubt
) -> None:
    outcome, provider = await called(adapter, answer)
    assert outcome == expected
    assert len(provider.log.calls) == 1, "and nothing under us tries again"


@pytest.mark.parametrize(
    ("code", "status", "decline"),
    [
        (130429, 429, C.SLOW_SENDER),
        (131056, 400, C.RETRY_PAIR),
        (131026, 400, C.PERMANENT),
        (131047, 400, C.WINDOW_CLOSED),
        (131016, 503, C.RETRY),
        (190, 401, C.HALT_SENDER),
    ],
)
async def test_a_refusal_is_told_apart_by_its_code(
    adapter: WhatsAppCloud, code: int, status: int, decline: DeclineClass
) -> None:
    outcome, _ = await called(adapter, Fail(code=code, status=status))
    assert isinstance(outcome, Declined)
    assert (outcome.decline, outcome.code, outcome.detail) == (decline, str(code), "scripted")


async def test_a_provider_that_is_not_there_was_never_called(adapter: WhatsAppCloud) -> None:
    message = a_message(line=a_line(base_url="http://127.0.0.1:1"))
    outcome = await adapter.send(message, deadline_seconds=DEADLINE)
    assert isinstance(outcome, Declined)
    assert (outcome.decline, outcome.reason) == (C.RETRY, "provider_unreachable")


async def test_a_wrong_token_stops_the_sender(adapter: WhatsAppCloud) -> None:
    async with serving(FakeProvider(secret="another")) as url:
        outcome = await adapter.send(a_message(line=a_line(base_url=url)), deadline_seconds=DEADLINE)
    assert isinstance(outcome, Declined)
    assert (outcome.decline, outcome.code) == (C.HALT_SENDER, "190")


async def test_many_calls_go_side_by_side(adapter: WhatsAppCloud) -> None:
    provider = FakeProvider(Script(recipients={CUSTOMER: (Accept(delay=0.2),) * 40}))
    messages = [a_message(send=a_sending_one(request=a_request(f"r{n}"))) for n in range(40)]
    async with serving(provider) as url:
        line = a_line(base_url=url)
        calls = [adapter.send(a_message(send=one.send, line=line), deadline_seconds=5) for one in messages]
        async with asyncio.timeout(0.2 * 40 / 4):
            outcomes = await asyncio.gather(*calls)
    assert all(isinstance(outcome, Accepted) for outcome in outcomes)
    assert len({outcome.provider_message_id for outcome in outcomes if isinstance(outcome, Accepted)}) == 40
