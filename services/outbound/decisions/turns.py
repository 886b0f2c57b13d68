"""What happens when a pair's turn has come: its oldest waiting message goes, waits, or is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from services.outbound.decisions import checks, templates, window
from services.outbound.decisions.outcomes import doubt
from services.outbound.model import (
    Ledger,
    Message,
    NotSent,
    PairState,
    Rules,
    Send,
    SendState,
    TemplateFact,
)
from shared.contracts.content import Template


@dataclass(frozen=True, slots=True)
class Turn:
    """A pair that is due, with its oldest message that is queued or sending, if any."""

    pair: PairState
    head: Send | None
    facts: checks.Facts


@dataclass(frozen=True, slots=True)
class Taken:
    """The rows after the turn, and the message to put before the provider once they are committed."""

    pair: PairState
    send: Send | None = None
    message: Message | None = None


def take(turn: Turn, now: datetime, rules: Rules) -> Taken:
    """Decide one pair's turn. At most one message of a pair is with the provider at any time.

    A message whose lease ran out was claimed by a process that is gone: whether it reached the
    provider nobody knows, so it is in doubt and is never sent again. The same holds for whatever was
    requested before the database was restored: it may have been sent since the moment it was restored to.
    """
    head = turn.head
    if head is None:
        return Taken(replace(turn.pair, next_turn_at=None))
    if head.state is SendState.SENDING:
        if head.lease_until is not None and now < head.lease_until:
            return Taken(replace(turn.pair, next_turn_at=head.lease_until))
        lost = doubt(head, "lease_expired", now)
        return Taken(replace(turn.pair, next_turn_at=now + rules.in_doubt_hold), lost)
    if rules.restored_at is not None and head.request.requested_at < rules.restored_at:
        return Taken(replace(turn.pair, next_turn_at=now), doubt(head, "restored", now))
    if head.not_before is not None and now < head.not_before:
        return Taken(replace(turn.pair, next_turn_at=head.not_before))
    return _first_in_line(turn, head, now, rules)


def _first_in_line(turn: Turn, head: Send, now: datetime, rules: Rules) -> Taken:
    decision = checks.decide(head, turn.facts, now, rules)
    match decision:
        case checks.Wait(until):
            return Taken(replace(turn.pair, next_turn_at=until))
        case checks.Refuse(reason, detail):
            refused = replace(head, state=SendState.REFUSED, reason=reason, provider_detail=detail)
            return Taken(replace(turn.pair, next_turn_at=now), refused)
        case checks.Hold(reason, detail):
            held = replace(head, state=SendState.HELD, reason=reason, provider_detail=detail)
            return Taken(replace(turn.pair, next_turn_at=now), held)
        case checks.Go(line, content):
            claimed = replace(
                head,
                state=SendState.SENDING,
                attempt=head.attempt + 1,
                not_before=None,
                lease_until=now + rules.lease,
                judged_by=turn.facts.ledger.last_inbound_at,
                provider=line.provider,
                fallback=content is not head.request.content,
            )
            pair = replace(turn.pair, next_turn_at=claimed.lease_until)
            return Taken(pair, claimed, Message(claimed, line, content))
        case _:
            assert_never(decision)


@dataclass(frozen=True, slots=True)
class Look:
    """What a claimed message is checked against once more, read after its claim was committed."""

    send: Send | None
    ledger: Ledger
    templates: Mapping[str, Sequence[TemplateFact]]
    halted: str | None


def objection_at_the_door(message: Message, look: Look, now: datetime, rules: Rules) -> NotSent | None:
    """Check just before the write that the message may still go; None when it may.

    The lease must outlast the call, or another process could call it lost while it is under way.
    """
    claimed, stored = message.send, look.send
    if stored is None or stored.state is not SendState.SENDING or stored.attempt != claimed.attempt:
        return NotSent("no_longer_ours")
    if claimed.lease_until is None or now + rules.call_deadline > claimed.lease_until:
        return NotSent("lease_too_short")
    if look.halted is not None:
        return NotSent("sender_halted")
    if isinstance(message.content, Template):
        known = look.templates.get(message.content.name, ())
        return None if templates.objection(message.content, known) is None else NotSent("template_changed")
    return None if window.is_open(look.ledger, now, rules) else NotSent("window_closed")
