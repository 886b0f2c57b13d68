"""The WhatsApp Cloud adapter's pure half: what goes out, and what comes of each answer."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.outbound.model import Accepted, DeclineClass, Declined, InDoubt
from services.outbound.providers import whatsapp_cloud
from services.outbound.providers.whatsapp_cloud import classify, read_answer, read_failure, translate
from shared.contracts.content import (
    Contacts,
    Content,
    Interactive,
    Location,
    Media,
    MediaFile,
    Order,
    Reaction,
)
from tests.outbound.builders import a_line, a_message, a_receipt, a_request, a_sending_one, a_template

C = DeclineClass


@pytest.mark.parametrize(
    ("decline", "codes"),
    [
        (C.RETRY, [2, 4, 80007, 131016, 131057, 132069, 133004]),
        (C.SLOW_SENDER, [130429, 131048]),
        (C.RETRY_PAIR, [131056]),
        (C.HALT_SENDER, [0, 3, 10, 190, 200, 230, 299, 368, 131031, 131042, 131045, 130497]),
        (C.WINDOW_CLOSED, [131047]),
        (C.NOT_BEFORE_A_DAY, [131049]),
        (C.TEMPLATE, [132015, 132016]),
        (C.PERMANENT, [33, 100, 131008, 131009, 131021, 131026, 131030, 131050, 131051, 131053, 131062]),
        (C.PERMANENT, [130472, 132000, 132001, 132005, 132007, 132008, 132012, 132068]),
    ],
)
def test_the_code_decides_and_the_http_status_does_not(decline: DeclineClass, codes: list[int]) -> None:
    for code in codes:
        for status in (400, 404, 429, 500, 503):
            meaning = classify(str(code), status)
            assert meaning is not None
            assert meaning[0] is decline, code


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        pytest.param("131000", 500, None, id="something went wrong"),
        pytest.param("1", 400, None, id="unknown error of the provider"),
        pytest.param(None, 500, None, id="a server's fault without a code"),
        pytest.param(None, 502, None, id="a gateway that got no answer"),
        pytest.param("999999", 503, None, id="an unknown code with a server's fault"),
        pytest.param("999999", 400, (C.PERMANENT, "provider_rejected"), id="an unknown code"),
        pytest.param(None, 404, (C.PERMANENT, "provider_rejected"), id="no code at all"),
        pytest.param(None, 429, (C.SLOW_SENDER, "rate_limited"), id="too many requests without a code"),
    ],
)
def test_what_an_unknown_refusal_means(
    code: str | None, status: int, expected: tuple[DeclineClass, str] | None
) -> None:
    assert classify(code, status) == expected


def an_error(code: Any, **fields: Any) -> bytes:
    return json.dumps({"error": {"message": "no", "code": code, **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "raw", "expected"),
    [
        pytest.param(200, b'{"messages":[{"id":"wamid.1"}]}', Accepted("wamid.1"), id="accepted"),
        pytest.param(202, b'{"messages":[{"id":"wamid.1"}]}', Accepted("wamid.1"), id="accepted with 202"),
        pytest.param(
            200,
            b'{"messages":[{"id":"wamid.1","message_status":"held_for_quality_assessment"}]}',
            Accepted("wamid.1"),
            id="accepted and held by the provider",
        ),
        pytest.param(200, b"{", InDoubt("unreadable_answer"), id="a cut answer"),
        pytest.param(200, b"[]", InDoubt("unreadable_answer"), id="a strange answer"),
        pytest.param(200, b'{"messages":[]}', InDoubt("unreadable_answer"), id="an answer without an id"),
        pytest.param(200, b'{"messages":[{"id":7}]}', InDoubt("unreadable_answer"), id="an id that is none"),
        pytest.param(500, b"<html>", InDoubt("provider_error_500"), id="a server's fault"),
        pytest.param(500, an_error(131000), InDoubt("provider_error_131000"), id="something went wrong"),
        pytest.param(
            400, an_error(131026), Declined(C.PERMANENT, "undeliverable", "131026", "no"), id="undeliverable"
        ),
        pytest.param(
            400,
            an_error("131047", error_data={"details": "re-engage"}),
            Declined(C.WINDOW_CLOSED, "window_closed", "131047", "re-engage"),
            id="the window is closed, says the provider",
        ),
        pytest.param(
            404,
            b"<html>gone",
            Declined(C.PERMANENT, "provider_rejected", "404", "<html>gone"),
            id="no provider at this address",
        ),
    ],
)
def test_what_comes_of_an_answer(status: int, raw: bytes, expected: object) -> None:
    assert read_answer(status, {}, raw) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [("40", timedelta(seconds=40)), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("9" * 9, None)],
)
def test_a_pause_in_seconds_is_honoured(value: str, expected: timedelta | None) -> None:
    answer = read_answer(429, {"Retry-After": value}, an_error(130429))
    assert isinstance(answer, Declined)
    assert answer.retry_after == expected


@given(st.integers(200, 599), st.binary(max_size=200))
def test_no_answer_is_too_strange_to_be_read(status: int, raw: bytes) -> None:
    read_answer(status, {}, raw)


@given(
    st.integers(200, 599),
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["error", "messages", "id", "code", "error_data", "details"]), inner
            )
        ),
    ),
)
def test_no_json_is_too_strange_to_be_read(status: int, said: object) -> None:
    read_answer(status, {}, json.dumps(said).encode())


def test_a_failed_receipt_is_lost_even_where_a_call_would_be_in_doubt() -> None:
    assert read_failure(a_receipt("failed", code="131000")) == Declined(
        C.PERMANENT, "provider_rejected", "131000"
    )
    assert read_failure(a_receipt("failed", code="131026", detail="x")) == Declined(
        C.PERMANENT, "undeliverable", "131026", "x"
    )
    assert read_failure(a_receipt("failed")) is None


BUTTONS = {"buttons": [{"type": "reply", "reply": {"id": "1", "title": "Yes"}}]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (a_message().content, {"type": "text", "text": {"body": "hello", "preview_url": False}}),
        (
            Media(kind="image", media=MediaFile(id="7"), caption="look"),
            {"type": "image", "image": {"id": "7", "caption": "look"}},
        ),
        (
            Media(kind="audio", media=MediaFile(url="https://x/y.ogg"), caption="no caption on sound"),
            {"type": "audio", "audio": {"link": "https://x/y.ogg"}},
        ),
        (
            Media(kind="document", media=MediaFile(id="7", filename="a.pdf")),
            {"type": "document", "document": {"id": "7", "filename": "a.pdf"}},
        ),
        (
            Location(latitude=1.5, longitude=2.5, name="here"),
            {"type": "location", "location": {"latitude": 1.5, "longitude": 2.5, "name": "here"}},
        ),
        (Contacts(contacts=({"name": {}},)), {"type": "contacts", "contacts": [{"name": {}}]}),
        (
            Reaction(to="wamid.9"),
            {"type": "reaction", "reaction": {"message_id": "wamid.9", "emoji": ""}},
        ),
        (
            Interactive(type="button", body="sure?", footer="f", action=BUTTONS),
            {
                "type": "interactive",
                "interactive": {
                    "type": "button",
                    "body": {"text": "sure?"},
                    "action": BUTTONS,
                    "footer": {"text": "f"},
                },
            },
        ),
        (
            a_template(),
            {
                "type": "template",
                "template": {
                    "name": "come_back",
                    "language": {"code": "en", "policy": "deterministic"},
                    "components": [{"type": "body", "parameters": [{"type": "text", "text": "Ann"}]}],
                },
            },
        ),
    ],
)
def test_each_kind_as_the_provider_wants_it(content: Content, expected: dict[str, Any]) -> None:
    body = translate(a_message(content))
    assert {key: body[key] for key in expected} == expected


def test_every_message_carries_our_correlation_id_and_no_category() -> None:
    body = translate(a_message())
    assert (body["messaging_product"], body["biz_opaque_callback_data"]) == ("whatsapp", "acme|r1")
    assert "category" not in body


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("+27820000001", {"to": "+27820000001"}),
        ("27820000001", {"to": "27820000001"}),
        ("whatsapp:+27820000001", {"to": "+27820000001"}),
        ("US.13491208655302741918", {"recipient": "US.13491208655302741918"}),
    ],
)
def test_the_reply_goes_to_exactly_the_address_that_came_in(address: str, expected: dict[str, str]) -> None:
    message = a_message(send=a_sending_one(request=a_request(customer_address=address)))
    body = translate(message)
    assert {key: body[key] for key in ("to", "recipient") if key in body} == expected


def test_a_quoted_message_is_the_context() -> None:
    message = a_message(send=a_sending_one(request=a_request(reply_to="wamid.8")))
    assert translate(message)["context"] == {"message_id": "wamid.8"}


async def test_content_that_only_customers_send_is_never_called_with() -> None:
    adapter = whatsapp_cloud.WhatsAppCloud({"CLOUD_TOKEN": "x"}.get, 26)
    outcome = await adapter.send(a_message(Order(items=())), deadline_seconds=1)
    assert outcome == Declined(C.PERMANENT, "invalid_content", None, "order is something only customers send")


async def test_a_missing_secret_stops_the_sender_and_burns_no_message() -> None:
    adapter = whatsapp_cloud.WhatsAppCloud(lambda _: None, 26)
    outcome = await adapter.send(a_message(), deadline_seconds=1)
    assert outcome == Declined(C.HALT_SENDER, "secret_missing", None, "no secret named CLOUD_TOKEN is set")


async def test_a_base_url_that_is_none_stops_the_sender() -> None:
    adapter = whatsapp_cloud.WhatsAppCloud({"CLOUD_TOKEN": "x"}.get, 26)
    outcome = await adapter.send(a_message(line=a_line(base_url="nowhere")), deadline_seconds=1)
    await adapter.close()
    assert isinstance(outcome, Declined)
    assert (outcome.decline, outcome.reason) == (C.HALT_SENDER, "invalid_base_url")
