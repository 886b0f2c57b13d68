"""May this request go out now? The checks in their stated order; the first that objects decides."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, assert_never

from services.outbound.decisions import templates, window
from services.outbound.model import Heard, Ledger, Line, Rules, Send, TemplateFact
from shared.contracts.content import Content, Interactive, Media, Order, Reply, Template, Text, Unsupported

DOCUMENTS_ON = ("directory.v1", "provider-events.v1")
"""Where documents, and providers' words on them, come from."""
LONGEST_TEXT = 4096
LONGEST_INTERACTIVE_BODY = 1024
LONGEST_CORRELATION_ID = 512
"""What ``biz_opaque_callback_data`` takes (docs/channels.md, 1)."""
SPEAKS_WHATSAPP = frozenset({"whatsapp_cloud"})
"""Providers whose adapters carry WhatsApp."""
_NUMBER = re.compile(r"\+[1-9][0-9]{5,14}")
_USER_ID = re.compile(r"[A-Z]{2}(\.[A-Z]+)?\.[A-Za-z0-9]{1,128}")


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision about one request rests on."""

    ledger: Ledger
    heard: Heard
    line: Line | None
    templates: Mapping[str, Sequence[TemplateFact]]
    halted: str | None
    """Why the sender is halted; None when it runs."""


@dataclass(frozen=True, slots=True)
class Go:
    """It may go now, with this content (the request's, or the fallback it names)."""

    line: Line
    content: Content


@dataclass(frozen=True, slots=True)
class Refuse:
    """It never will: a reason of docs/channels.md, 2, and a sentence."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Hold:
    """It is kept until its sender is resumed."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Look again then: the facts to decide by are still being read."""

    until: datetime


Decision: TypeAlias = Go | Refuse | Hold | Wait


def decide(send: Send, facts: Facts, now: datetime, rules: Rules) -> Decision:
    """Decide about one request: shape, channel, recipient, template, window, then the sender's standing."""
    early = _shape(send, now) or _channel(send, facts) or _recipient(send)
    if early is not None:
        return _once_heard(early, send, facts, now, rules) if early.reason == "unknown_sender" else early
    if facts.line is None:  # _channel has objected
        raise AssertionError("a request without a line passed the channel check")
    content = _content(send, facts, now, rules)
    if isinstance(content, Refuse | Wait):
        return content
    if facts.halted is not None:
        return Hold("sender_halted", f"the sender is halted: {facts.halted}")
    return Go(facts.line, content)


def _shape(send: Send, now: datetime) -> Refuse | None:
    request = send.request
    if request.not_after is not None and now > request.not_after:
        return Refuse("too_late", f"it was not to be sent after {request.not_after.isoformat()}")
    if len(send.ref.correlation_id) > LONGEST_CORRELATION_ID:
        return Refuse("invalid_request_id", f"at most {LONGEST_CORRELATION_ID} characters with the tenant")
    return _content_shape(request.content)


def _content_shape(content: Content) -> Refuse | None:
    match content:
        case Text(text=body) if len(body) > LONGEST_TEXT:
            return Refuse("invalid_content", f"a text has at most {LONGEST_TEXT} characters, got {len(body)}")
        case Interactive(body=body) if len(body) > LONGEST_INTERACTIVE_BODY:
            return Refuse("invalid_content", f"its body has at most {LONGEST_INTERACTIVE_BODY} characters")
        case Media(media=media) if media.id is None and media.url is None:
            return Refuse("invalid_content", "media need an id or a url")
        case Reply() | Order() | Unsupported():
            return Refuse("invalid_content", f"{content.kind} is something only customers send")
        case _:
            return None


def _channel(send: Send, facts: Facts) -> Refuse | None:
    channel = send.request.channel
    if channel != "whatsapp":
        return Refuse("unsupported_on_channel", f"no adapter sends {channel} yet")
    if facts.line is None:
        return Refuse("unknown_sender", "the directory has no channel document for this business address")
    if facts.line.provider not in SPEAKS_WHATSAPP:
        return Refuse("unsupported_on_channel", f"no adapter speaks to {facts.line.provider} yet")
    if facts.line.provider_account is None:
        return Refuse("unknown_sender", "the channel document names no provider_account")
    return None


def _recipient(send: Send) -> Refuse | None:
    address = send.pair.customer_address
    if _NUMBER.fullmatch(address) or _USER_ID.fullmatch(address):
        return None
    return Refuse("invalid_recipient", "the customer's address is neither a number nor a user id")


def _content(send: Send, facts: Facts, now: datetime, rules: Rules) -> Content | Refuse | Wait:
    """Return what may go: free-form in the window, a fitting template at any time."""
    content = send.request.content
    if isinstance(content, Template):
        return _template(content, send, facts, now, rules)
    judged = window.judge(facts.ledger, send.arrived_at, facts.heard, now, rules)
    match judged:
        case window.Open():
            return content
        case window.Listen(until):
            return Wait(until)
        case window.Closed(last):
            since = "the customer never wrote" if last is None else f"last word at {last.isoformat()}"
            return _fallback(Refuse("window_closed", since), send, facts, now, rules)
        case window.Unknowable(why):
            return _fallback(Refuse("window_unknown", why), send, facts, now, rules)
        case _:
            assert_never(judged)


def _template(
    template: Template, send: Send, facts: Facts, now: datetime, rules: Rules
) -> Template | Refuse | Wait:
    objection = templates.objection(template, facts.templates.get(template.name, ()))
    if objection is None:
        return template
    return _once_heard(Refuse(*objection), send, facts, now, rules)


def _fallback(
    refusal: Refuse, send: Send, facts: Facts, now: datetime, rules: Rules
) -> Content | Refuse | Wait:
    """Use the template that the request itself names; there is no other swap of text for template."""
    template = send.request.fallback_template
    if template is None:
        return refusal
    instead = _template(template, send, facts, now, rules)
    if isinstance(instead, Refuse):
        return Refuse(refusal.reason, f"{refusal.detail}; fallback: {instead.reason}, {instead.detail}")
    return instead


def _once_heard(refusal: Refuse, send: Send, facts: Facts, now: datetime, rules: Rules) -> Refuse | Wait:
    """Say no for a missing document only once all documents published before the request were read."""
    if window.is_heard(send.arrived_at, facts.heard.documents_up_to):
        return refusal
    again = window.listen_again(send.arrived_at, facts.heard, now, rules)
    return refusal if again is None else Wait(again.until)
