"""The contact window: its boundaries, skewed clocks, late arrivals, and what readers are told."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.decisions import window
from services.outbound.model import Heard, Ledger, Rules
from shared.contracts.content import Content, Location, Reaction, Text, Unsupported
from tests.outbound.builders import DAY, NOON, RULES, SECOND, a_ledger, a_pair_state

MARGIN = RULES.window_margin
MOMENT = timedelta(microseconds=1)
ALL_READ = Heard(read_up_to=NOON)
times = st.datetimes(min_value=datetime(2026, 1, 1), max_value=datetime(2027, 1, 1)).map(  # noqa: DTZ001
    lambda at: at.replace(tzinfo=NOON.tzinfo)
)


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        pytest.param(timedelta(0), True, id="the customer writes this moment"),
        pytest.param(DAY - MARGIN - MOMENT, True, id="a moment before the margin begins"),
        pytest.param(DAY - MARGIN, False, id="as the margin begins"),
        pytest.param(timedelta(hours=23, minutes=59), True, id="23 h 59 min"),
        pytest.param(DAY - SECOND, False, id="within the margin"),
        pytest.param(DAY, False, id="exactly 24 h"),
        pytest.param(timedelta(hours=25), False, id="25 h"),
    ],
)
def test_free_form_may_go_until_the_margin_before_24_hours(ago: timedelta, expected: bool) -> None:
    assert window.is_open(a_ledger(ago), NOON, RULES) is expected


def test_without_a_margin_the_window_ends_exactly_at_24_hours() -> None:
    rules = Rules(window_margin=timedelta(0))
    assert window.is_open(a_ledger(DAY - MOMENT), NOON, rules)
    assert not window.is_open(a_ledger(DAY), NOON, rules)


def test_who_never_wrote_has_no_window() -> None:
    assert not window.is_open(Ledger(), NOON, RULES)


@pytest.mark.parametrize(
    ("provider_time", "received_at", "expected"),
    [
        pytest.param(NOON - 5 * SECOND, NOON - SECOND, NOON - 5 * SECOND, id="the provider's time counts"),
        pytest.param(NOON + DAY, NOON - SECOND, NOON - SECOND, id="dated in the future: the receipt counts"),
        pytest.param(NOON + DAY, NOON + DAY, NOON, id="both in the future: the present counts"),
        pytest.param(NOON - 30 * SECOND, NOON + DAY, NOON - 30 * SECOND, id="received in the future"),
    ],
)
def test_a_word_counts_from_its_time_but_never_from_the_future(
    provider_time: datetime, received_at: datetime, expected: datetime
) -> None:
    assert window.spoken_at(provider_time, received_at, NOON) == expected


@given(st.lists(times, min_size=1, max_size=20))
def test_t_is_the_greatest_time_heard_and_never_lowered(heard: list[datetime]) -> None:
    ledger = Ledger()
    for at in heard:
        before = ledger.last_inbound_at
        ledger = window.hear(ledger, at)
        assert before is None or (ledger.last_inbound_at or before) >= before
    assert ledger.last_inbound_at == max(heard)


@given(times, times, times)
def test_a_time_that_counts_is_never_after_receipt_or_present(
    sent: datetime, got: datetime, now: datetime
) -> None:
    assert window.spoken_at(sent, got, now) <= min(got, now)


@pytest.mark.parametrize(
    ("ledger", "heard", "now", "expected"),
    [
        pytest.param(
            a_ledger(),
            Heard(),
            NOON,
            window.Open(NOON - timedelta(minutes=1) + DAY - MARGIN),
            id="open is decided at once, whatever is unread",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(NOON - MOMENT),
            NOON,
            window.Listen(NOON + window.LISTEN_AGAIN),
            id="closed waits for inbound up to the request",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(),
            NOON,
            window.Listen(NOON + window.LISTEN_AGAIN),
            id="closed waits where nobody knows what was read",
        ),
        pytest.param(
            a_ledger(DAY),
            ALL_READ,
            NOON,
            window.Closed(NOON - DAY),
            id="closed is final once inbound was read up to the request",
        ),
        pytest.param(
            Ledger(),
            ALL_READ,
            NOON,
            window.Closed(None),
            id="closed for who never wrote",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(NOON - MOMENT),
            NOON + RULES.hearing_patience - MOMENT,
            window.Listen(NOON + RULES.hearing_patience),
            id="the wait is bounded",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(NOON - MOMENT, listening_since=NOON + DAY),
            NOON + DAY,
            window.Listen(NOON + DAY + window.LISTEN_AGAIN),
            id="the wait begins anew when nobody was reading",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(NOON - MOMENT),
            NOON + RULES.hearing_patience,
            window.Unknowable("inbound messages have not been read up to the request in time"),
            id="nobody knows when the wait is over",
        ),
        pytest.param(
            a_ledger(DAY),
            Heard(NOON, complete_since=NOON - DAY),
            NOON,
            window.Closed(NOON - DAY),
            id="complete for exactly 24 h is complete",
        ),
        pytest.param(
            Ledger(),
            Heard(NOON, complete_since=NOON - DAY + SECOND),
            NOON,
            window.Unknowable("inbound messages from before 2026-11-21T12:00:01+00:00 were never read"),
            id="a ledger that misses a second of the last 24 h knows nothing of closed",
        ),
        pytest.param(
            a_ledger(),
            Heard(NOON, complete_since=NOON),
            NOON,
            window.Open(NOON - timedelta(minutes=1) + DAY - MARGIN),
            id="an incomplete ledger still knows what it heard",
        ),
    ],
)
def test_judging_a_request_that_came_at_noon(
    ledger: Ledger, heard: Heard, now: datetime, expected: window.Judgement
) -> None:
    assert window.judge(ledger, NOON, heard, now, RULES) == expected


def test_a_request_judged_after_its_window_ended_in_the_queue_is_closed() -> None:
    ledger = a_ledger(DAY - timedelta(minutes=1))
    assert isinstance(window.judge(ledger, NOON, ALL_READ, NOON, RULES), window.Open)
    later = NOON + timedelta(minutes=2)
    assert isinstance(window.judge(ledger, NOON, ALL_READ, later, RULES), window.Closed)


def test_a_providers_contrary_word_closes_until_the_customer_writes_again() -> None:
    ledger = a_ledger()
    closed = window.disprove(ledger, ledger.last_inbound_at)
    assert not window.is_open(closed, NOON, RULES)
    assert closed.last_inbound_at == ledger.last_inbound_at, "T is never lowered"
    assert not window.is_open(window.hear(closed, NOON - DAY), NOON, RULES), "an old word opens nothing"
    assert window.is_open(window.hear(closed, NOON), NOON, RULES)


def test_a_contrary_word_about_an_older_t_leaves_a_newer_one_open() -> None:
    judged_by = NOON - timedelta(hours=2)
    ledger = window.disprove(a_ledger(timedelta(hours=1)), judged_by)
    assert window.is_open(ledger, NOON, RULES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (Text(text="hi"), True),
        (Location(latitude=1.0, longitude=2.0), True),
        (Unsupported(raw={}), True),
        (Reaction(emoji="+1", to="m0"), False),
    ],
)
def test_messages_open_the_window_and_reactions_do_not(content: Content, expected: bool) -> None:
    assert window.opens(content) is expected


TOLD = NOON - timedelta(minutes=1) + DAY - MARGIN


@pytest.mark.parametrize(
    ("ledger", "told", "expected"),
    [
        pytest.param(a_ledger(), None, True, id="a window that opens is news"),
        pytest.param(a_ledger(), NOON - SECOND, True, id="one that opens again is news"),
        pytest.param(a_ledger(), TOLD, False, id="nothing new is no news"),
        pytest.param(a_ledger(), TOLD - window.TELL_STEP + SECOND, False, id="a small step is no news"),
        pytest.param(a_ledger(), TOLD - window.TELL_STEP, True, id="a step of five minutes is news"),
        pytest.param(
            a_ledger(timedelta(hours=30)), None, False, id="an old word that arrives late is no news"
        ),
        pytest.param(a_ledger(disproved_at=NOON), TOLD, True, id="a window closed early is news"),
        pytest.param(
            a_ledger(disproved_at=NOON), None, False, id="closed early and never told open: no news"
        ),
        pytest.param(a_ledger(disproved_at=NOON), NOON, False, id="closed early, but readers know it ended"),
        pytest.param(Ledger(), None, False, id="who never wrote is no news"),
    ],
)
def test_what_readers_of_pairs_are_told(ledger: Ledger, told: datetime | None, expected: bool) -> None:
    assert window.is_news(a_pair_state(ledger=ledger, told_expires_at=told), NOON, RULES) is expected


@pytest.mark.parametrize(
    ("ago", "state"),
    [
        (timedelta(hours=1), "open"),
        (DAY - MARGIN - window.CLOSING - MOMENT, "open"),
        (DAY - MARGIN - window.CLOSING, "closing"),
        (DAY - MARGIN - MOMENT, "closing"),
        (DAY - MARGIN, "closed"),
    ],
)
def test_the_state_follows_from_the_time_of_expiry(ago: timedelta, state: str) -> None:
    seen = window.seen_by_readers(a_ledger(ago), NOON, RULES)
    assert (seen.state, seen.last_inbound_at, seen.expires_at) == (
        state,
        NOON - ago,
        NOON - ago + DAY - MARGIN,
    )
