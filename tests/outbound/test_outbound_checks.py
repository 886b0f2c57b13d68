"""May this request go now? Each check, their order, templates and fallbacks."""

from datetime import timedelta
from typing import Any

import pytest

from services.outbound.decisions import checks
from services.outbound.decisions.checks import Facts, Go, Hold, Refuse, Wait
from services.outbound.decisions.lines import line_of
from services.outbound.model import ChannelFact, Heard, Send
from shared.contracts.content import Interactive, Media, MediaFile, Order, Reaction, Reply, Text, Unsupported
from tests.outbound.builders import (
    DAY,
    HELLO,
    NOON,
    RULES,
    SECOND,
    a_ledger,
    a_line,
    a_request,
    a_send,
    a_template,
    a_template_fact,
    facts,
)

CLOSED = a_ledger(DAY)
UNREAD = Heard(NOON - SECOND, documents_up_to=NOON - SECOND)


def asked(**fields: Any) -> Send:
    return a_send(request=a_request(**fields))


def decided(send: Send, known: Facts) -> str:
    """Say the decision in a word: go, hold, wait, or the reason of a refusal."""
    match checks.decide(send, known, NOON, RULES):
        case Go():
            return "go"
        case Hold():
            return "hold"
        case Wait():
            return "wait"
        case Refuse(reason):
            return reason


@pytest.mark.parametrize(
    ("send", "known", "expected"),
    [
        pytest.param(asked(), facts(), "go", id="a text in the window goes"),
        pytest.param(asked(), facts(ledger=CLOSED), "window_closed", id="a text out of it does not"),
        pytest.param(asked(), facts(ledger=CLOSED, heard=UNREAD), "wait", id="closed waits for inbound"),
        pytest.param(
            asked(),
            facts(ledger=CLOSED, heard=Heard(NOON, NOON)),
            "window_unknown",
            id="an incomplete ledger refuses with window_unknown",
        ),
        pytest.param(
            asked(content=Media(kind="image", media=MediaFile(id="1"))),
            facts(ledger=CLOSED),
            "window_closed",
            id="a picture needs the window",
        ),
        pytest.param(
            asked(content=Reaction(emoji="+1", to="m")),
            facts(ledger=CLOSED),
            "window_closed",
            id="a reaction needs the window",
        ),
        pytest.param(asked(content=a_template()), facts(ledger=CLOSED), "go", id="a template needs none"),
        pytest.param(
            asked(content=a_template(name="gone")), facts(), "template_not_found", id="an unknown template"
        ),
        pytest.param(
            asked(content=a_template(name="gone")),
            facts(heard=UNREAD),
            "wait",
            id="a template may be in a document that is still to be read",
        ),
        pytest.param(
            asked(content=a_template(language="de")),
            facts(),
            "template_language_missing",
            id="a template in another language",
        ),
        *(
            pytest.param(
                asked(content=a_template()),
                facts(templates={"come_back": [a_template_fact(state=state)]}),
                "template_not_sendable",
                id=f"a template that is {state}",
            )
            for state in ("pending", "rejected", "paused", "disabled", "archived")
        ),
        pytest.param(
            asked(content=a_template()),
            facts(templates={"come_back": [a_template_fact(state="APPROVED")]}),
            "go",
            id="the provider writes states in capitals",
        ),
        pytest.param(
            asked(content=a_template(parameters=())),
            facts(),
            "template_params_mismatch",
            id="too few parameters",
        ),
        pytest.param(
            asked(content=a_template(parameters=("a", "b"))),
            facts(),
            "template_params_mismatch",
            id="too many parameters",
        ),
        pytest.param(
            asked(channel="sms", customer_address="+27820000001"),
            facts(line=None),
            "unsupported_on_channel",
            id="no adapter carries SMS yet",
        ),
        pytest.param(asked(), facts(line=None), "unknown_sender", id="no channel document"),
        pytest.param(asked(), facts(line=None, heard=UNREAD), "wait", id="no channel document yet"),
        pytest.param(
            asked(),
            facts(line=None, heard=Heard(NOON, documents_up_to=NOON - SECOND)),
            "wait",
            id="a channel document may still come though inbound has been read",
        ),
        pytest.param(
            asked(),
            facts(ledger=CLOSED, heard=Heard(NOON, documents_up_to=NOON - SECOND)),
            "window_closed",
            id="closed waits for inbound alone",
        ),
        pytest.param(
            asked(),
            facts(line=a_line(provider="twilio")),
            "unsupported_on_channel",
            id="no adapter for a provider",
        ),
        pytest.param(
            asked(),
            facts(line=a_line(provider_account=None)),
            "unknown_sender",
            id="a channel without account",
        ),
        pytest.param(
            asked(customer_address="ann"), facts(), "invalid_recipient", id="a recipient that is no number"
        ),
        pytest.param(asked(customer_address="+123"), facts(), "invalid_recipient", id="a number too short"),
        pytest.param(
            asked(customer_address="whatsapp:+27 82 000"), facts(), "go", id="a number with its scheme"
        ),
        pytest.param(
            asked(customer_address="US.13491208655302741918"), facts(), "go", id="a business-scoped user id"
        ),
        pytest.param(asked(content=Text(text="x" * 4096)), facts(), "go", id="the longest text"),
        pytest.param(asked(content=Text(text="x" * 4097)), facts(), "invalid_content", id="a longer one"),
        pytest.param(
            asked(content=Media(kind="image", media=MediaFile())),
            facts(),
            "invalid_content",
            id="no file at all",
        ),
        pytest.param(
            asked(content=Interactive(type="button", body="x" * 1025, action={})),
            facts(),
            "invalid_content",
            id="a long interactive body",
        ),
        *(
            pytest.param(
                asked(content=content), facts(), "invalid_content", id=f"{content.kind} is a customer's"
            )
            for content in (Reply(id="1", title="t"), Order(items=()), Unsupported())
        ),
        pytest.param(asked(not_after=NOON), facts(), "go", id="on its last moment"),
        pytest.param(asked(not_after=NOON - SECOND), facts(), "too_late", id="after its last moment"),
        pytest.param(asked(request_id="r" * 256), facts(), "go", id="the longest id that the contract takes"),
        pytest.param(asked(), facts(halted="access_refused"), "hold", id="a halted sender keeps the message"),
    ],
)
def test_what_is_decided_at_noon(send: Send, known: Facts, expected: str) -> None:
    assert decided(send, known) == expected


# Each row breaks one check more than the row after it; the first broken one must decide.
BREAKS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("too_late", {"not_after": NOON - SECOND}, {}),
    ("unknown_sender", {}, {"line": None}),
    ("invalid_recipient", {"customer_address": "ann"}, {}),
    ("window_closed", {}, {"ledger": CLOSED}),
    ("hold", {}, {"halted": "access_refused"}),
]


@pytest.mark.parametrize("first", range(len(BREAKS)), ids=[reason for reason, _, _ in BREAKS])
def test_the_first_failing_check_decides(first: int) -> None:
    request: dict[str, Any] = {}
    known: dict[str, Any] = {}
    for _, of_request, of_facts in BREAKS[first:]:
        request |= of_request
        known |= of_facts
    assert decided(asked(**request), facts(**known)) == BREAKS[first][0]


def test_the_template_is_checked_before_the_senders_standing() -> None:
    known = facts(halted="access_refused", templates={})
    assert decided(asked(content=a_template()), known) == "template_not_found"


def test_the_providers_word_on_a_template_counts_for_more_than_its_document() -> None:
    send = asked(content=a_template())
    paused = a_template_fact(provider_state="PAUSED")
    resumed = a_template_fact(state="paused", provider_state="APPROVED")
    assert decided(send, facts(templates={"come_back": [paused]})) == "template_not_sendable"
    assert decided(send, facts(templates={"come_back": [resumed]})) == "go"


def test_an_address_goes_by_the_document_that_is_not_retired() -> None:
    old = ChannelFact("a", a_line(provider_account="old"), retired=True)
    new, other = (ChannelFact(name, a_line(provider_account=name)) for name in ("b", "c"))
    assert line_of([]) is None
    assert line_of([old]) == old.line, "what was asked for is still sent"
    assert line_of([other, old, new]) == new.line


def test_a_missing_document_is_final_after_the_bounded_wait() -> None:
    later = NOON + RULES.hearing_patience
    decision = checks.decide(asked(), facts(line=None, heard=UNREAD), later, RULES)
    assert isinstance(decision, Refuse)
    assert decision.reason == "unknown_sender"


def test_a_refusal_for_the_window_tells_when_the_customer_wrote_last() -> None:
    decision = checks.decide(asked(), facts(ledger=CLOSED), NOON, RULES)
    assert decision == Refuse("window_closed", "last word at 2026-11-21T12:00:00+00:00")


def test_no_text_becomes_a_template_unless_the_request_names_it() -> None:
    decision = checks.decide(asked(), facts(), NOON, RULES)
    assert isinstance(decision, Go)
    assert decision.content == HELLO
    named = asked(fallback_template=a_template())
    assert decided(asked(), facts(ledger=CLOSED)) == "window_closed"
    instead = checks.decide(named, facts(ledger=CLOSED), NOON, RULES)
    assert isinstance(instead, Go)
    assert instead.content == a_template()


def test_in_the_window_the_text_goes_and_not_its_fallback() -> None:
    decision = checks.decide(asked(fallback_template=a_template()), facts(), NOON, RULES)
    assert isinstance(decision, Go)
    assert decision.content == HELLO


def test_a_fallback_also_serves_where_nobody_knows_the_window() -> None:
    known = facts(ledger=CLOSED, heard=Heard(NOON, NOON, documents_up_to=NOON))
    assert decided(asked(fallback_template=a_template()), known) == "go"


def test_a_fallback_that_may_not_go_leaves_the_windows_reason() -> None:
    send = asked(fallback_template=a_template(name="gone"))
    decision = checks.decide(send, facts(ledger=CLOSED), NOON, RULES)
    assert isinstance(decision, Refuse)
    assert decision.reason == "window_closed"
    assert "fallback: template_not_found" in decision.detail


def test_the_same_request_goes_once_the_customer_has_written() -> None:
    send = asked()
    assert decided(send, facts(ledger=a_ledger(DAY), heard=UNREAD)) == "wait"
    assert decided(send, facts(ledger=a_ledger(timedelta(0)), heard=UNREAD)) == "go"
