"""Receipts come twice, late and in any order: a status never goes back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.decisions import receipts
from services.outbound.decisions.receipts import take_in
from services.outbound.model import DeclineClass, Declined, Send, SendRef, SendState
from tests.outbound.builders import DAY, NOON, TENANT, a_receipt, a_send

S = SendState
LADDER = [S.ACCEPTED, S.SENT, S.DELIVERED, S.READ, S.PLAYED]
UNANSWERED = [S.QUEUED, S.SENDING, S.HELD, S.IN_DOUBT, S.UNKNOWN]
HEIGHT = {S.QUEUED: 0, S.ACCEPTED: 1, S.SENT: 2, S.FAILED: 2, S.DELIVERED: 3, S.READ: 4, S.PLAYED: 5}
statuses = st.sampled_from([*(one.value for one in LADDER), "failed"])


def after(state: SendState, status: str) -> SendState:
    return take_in(a_send(state=state), a_receipt(status), None, NOON).send.state


@pytest.mark.parametrize(("state", "status"), list(itertools.product(LADDER, LADDER)))
def test_a_success_only_climbs(state: SendState, status: SendState) -> None:
    assert after(state, status.value) is max(state, status, key=LADDER.index)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (S.ACCEPTED, S.FAILED),
        (S.SENT, S.FAILED),
        (S.DELIVERED, S.DELIVERED),
        (S.READ, S.READ),
        (S.PLAYED, S.PLAYED),
        (S.FAILED, S.FAILED),
        (S.REFUSED, S.REFUSED),
    ],
)
def test_a_message_fails_only_before_it_was_delivered(state: SendState, expected: SendState) -> None:
    assert after(state, "failed") is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("accepted", S.FAILED),
        ("sent", S.FAILED),
        ("delivered", S.DELIVERED),
        ("read", S.READ),
        ("played", S.PLAYED),
    ],
)
def test_a_delivery_after_a_failure_wins_and_is_kept_as_an_anomaly(status: str, expected: SendState) -> None:
    taken = take_in(a_send(state=S.FAILED, reason="undeliverable"), a_receipt(status), None, NOON)
    assert taken.send.state is expected
    assert taken.send.reason == (receipts.AFTER_FAILURE if expected is not S.FAILED else "undeliverable")


@pytest.mark.parametrize(
    ("state", "status"), list(itertools.product(UNANSWERED, ["accepted", "sent", "read", "failed"]))
)
def test_whatever_a_receipt_says_settles_what_had_no_answer(state: SendState, status: str) -> None:
    assert after(state, status) is S(status)


@pytest.mark.parametrize(
    ("state", "releases"),
    [(S.IN_DOUBT, True), (S.QUEUED, True), (S.SENDING, False), (S.ACCEPTED, False), (S.UNKNOWN, False)],
)
def test_a_settled_doubt_lets_the_pair_go_on_and_a_running_call_does_not(
    state: SendState, releases: bool
) -> None:
    assert take_in(a_send(state=state), a_receipt("sent"), None, NOON).releases is releases


def test_a_receipt_brings_the_providers_id_that_the_cut_answer_lost() -> None:
    taken = take_in(a_send(state=S.IN_DOUBT), a_receipt("sent"), None, NOON)
    assert taken.send.provider_message_id == "wamid.1"


def test_a_failure_by_receipt_says_why() -> None:
    no = Declined(DeclineClass.NOT_BEFORE_A_DAY, "marketing_limited", "131049", "words")
    receipt = a_receipt("failed", code="131049", detail="words")
    failed = take_in(a_send(state=S.ACCEPTED), receipt, no, NOON).send
    assert (failed.reason, failed.provider_code, failed.retry_not_before) == (
        "marketing_limited",
        "131049",
        NOON + DAY,
    )


def test_a_closed_window_told_by_receipt_corrects_the_ledger_once() -> None:
    no = Declined(DeclineClass.WINDOW_CLOSED, "window_closed", "131047", None)
    taken = take_in(a_send(state=S.ACCEPTED), a_receipt("failed", code="131047"), no, NOON)
    assert (taken.disproved, taken.send.reason) == (True, "window_closed")
    again = take_in(taken.send, a_receipt("failed", code="131047"), no, NOON)
    assert not again.disproved


@given(st.lists(statuses, max_size=8))
def test_no_order_of_receipts_makes_a_status_go_back(order: list[str]) -> None:
    send: Send = a_send()
    for status in order:
        moved = take_in(send, a_receipt(status), None, NOON).send
        assert HEIGHT[moved.state] >= HEIGHT[send.state]
        assert not (send.state is S.FAILED and moved.state in {S.ACCEPTED, S.SENT})
        send = moved


@pytest.mark.parametrize(
    ("correlation_id", "expected"),
    [
        (f"{TENANT}|r1", SendRef(TENANT, "r1")),
        (f"{TENANT}|a|b", SendRef(TENANT, "a|b")),
        ("other|r1", None),
        (f"{TENANT}|", None),
        ("r1", None),
        (None, None),
    ],
)
def test_our_correlation_id_names_tenant_and_request(
    correlation_id: str | None, expected: SendRef | None
) -> None:
    assert receipts.ref_of(a_receipt(correlation_id=correlation_id), TENANT) == expected
