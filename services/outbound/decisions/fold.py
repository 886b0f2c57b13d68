"""One batch in memory: locked rows in, the decisions applied in order, changed rows and events out."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from services.outbound.decisions import receipts, telling, window
from services.outbound.decisions.outcomes import Settled
from services.outbound.model import Declined, PairState, Rules, Send, SendRef, SendState
from shared.contracts.event import Cause, Event, Model
from shared.contracts.outbound_messages import MessageSend
from shared.contracts.pair import Pair
from shared.contracts.provider_events import Receipt
from shared.platform.outcome import Due, Outcome

UNSETTLED = "unsettled_send"
"""The timer of a message in doubt: when it fires, inbound and receipts have been read up to its time."""


class Fold:
    """The working state of one transaction. Lives and dies with it; holds no rules of its own."""

    def __init__(
        self,
        pairs: Mapping[Pair, PairState],
        sends: Mapping[SendRef, Send],
        now: datetime,
        rules: Rules,
    ) -> None:
        self._pairs = dict(pairs)
        self._sends = dict(sends)
        self._now = now
        self._rules = rules
        self._raised_by: dict[Pair, Cause] = {}
        self._echoes: dict[Pair, tuple[list[int], Cause]] = {}
        self._changed_pairs: set[Pair] = set()
        self._changed_sends: set[SendRef] = set()
        self.added: list[Send] = []
        """New requests in the order they came."""
        self.events: list[Event[Model]] = []
        self._doubted: list[Send] = []
        self._settled: list[Send] = []

    @property
    def pairs(self) -> list[PairState]:
        """The pairs that changed."""
        return [self._pairs[pair] for pair in sorted(self._changed_pairs)]

    @property
    def sends(self) -> list[Send]:
        """The stored sends that changed."""
        return [self._sends[ref] for ref in sorted(self._changed_sends)]

    def find(self, ref: SendRef) -> Send | None:
        """Return a send as it is by now."""
        return self._sends.get(ref)

    def queue(self, pair: Pair, request: MessageSend, cause: Cause) -> None:
        """Take in a request: it stands behind whatever its pair still has to send."""
        send = Send(pair, request, cause, arrived_at=self._now)
        if send.ref in self._sends:
            return
        self._sends[send.ref] = send
        self.added.append(send)
        state = self._pairs[pair]
        if state.next_turn_at is None:
            self.put_pair(replace(state, next_turn_at=self._now))

    def hear(self, pair: Pair, spoken_at: datetime, cause: Cause) -> None:
        """Take in a customer's word."""
        state = self._pairs[pair]
        ledger = window.hear(state.ledger, spoken_at)
        if ledger is not state.ledger:
            self.put_pair(replace(state, ledger=ledger))
            self._raised_by[pair] = cause

    def receive(self, send: Send, receipt: Receipt, failure: Declined | None, cause: Cause) -> None:
        """Take in a receipt for a known message."""
        taken = receipts.take_in(send, receipt, failure, self._now)
        traced = Cause(send.cause.tenant_id, send.cause.id, send.cause.correlation_id, cause.causation_id)
        self.put_send(taken.send, at=receipt.at, cause=traced)
        if taken.releases:
            self.schedule_turn(send.pair, self._now)
        if taken.disproved:
            self.disprove(taken.send, traced)

    def settle(self, settled: Settled) -> None:
        """Take in what came of a call."""
        self.put_send(settled.send, at=self._now)
        if settled.next_turn_at is not None:
            self.schedule_turn(settled.send.pair, settled.next_turn_at)
        if settled.disproved:
            self.disprove(settled.send, settled.send.cause)

    def disprove(self, send: Send, cause: Cause) -> None:
        """Take in a provider's word that the window by which a message was sent is closed."""
        state = self._pairs[send.pair]
        self.put_pair(replace(state, ledger=window.disprove(state.ledger, send.judged_by)))
        self._raised_by[send.pair] = cause

    def echo(self, pair: Pair, version: int, cause: Cause) -> None:
        """Take in our own word on a pair, to be answered at the end where an older one came last."""
        versions, _ = self._echoes.get(pair, ([], cause))
        versions.append(version)
        self._echoes[pair] = (versions, cause)

    def schedule_turn(self, pair: Pair, at: datetime) -> None:
        """Set when the pair is looked at next."""
        self.put_pair(replace(self._pairs[pair], next_turn_at=at))

    def put_pair(self, state: PairState) -> None:
        """Keep a pair's new state."""
        self._pairs[state.pair] = state
        self._changed_pairs.add(state.pair)

    def put_send(self, after: Send, *, at: datetime, cause: Cause | None = None) -> None:
        """Keep a send's new state, and tell of it where it is news."""
        before = self._sends[after.ref]
        if after == before:
            return
        told = after if cause is None else replace(after, cause=cause)
        self.events += telling.delivery(
            before, told, self._pairs[after.pair].ledger, at=at, now=self._now, rules=self._rules
        )
        self._sends[after.ref] = after
        self._changed_sends.add(after.ref)
        in_doubt = after.state is SendState.IN_DOUBT
        if in_doubt != (before.state is SendState.IN_DOUBT):
            (self._doubted if in_doubt else self._settled).append(after)

    def tell_windows(self) -> None:
        """Tell readers once, at the end, of each window that the batch changed or an old word hides."""
        for pair, (versions, cause) in sorted(self._echoes.items()):
            state, again = telling.hear_echoes(self._pairs[pair], versions)
            if again:
                state, events = telling.reassert(state, cause, self._now, self._rules)
                self.events += events
            self.put_pair(state)
        for pair in sorted(self._raised_by):
            state, events = telling.window_news(
                self._pairs[pair], self._raised_by[pair], self._now, self._rules
            )
            if events:
                self.put_pair(state)
                self.events += events

    def outcome(self) -> Outcome:
        """Return what the platform saves: events, and the timers of messages in doubt."""
        settle_by = self._now + self._rules.in_doubt_settle
        return Outcome(
            outgoing=list(self.events),
            schedule=[
                Due(UNSETTLED, send.ref.correlation_id, send.pair.tenant_id, settle_by)
                for send in self._doubted
            ],
            cancel=[(UNSETTLED, send.ref.correlation_id) for send in self._settled],
        )
