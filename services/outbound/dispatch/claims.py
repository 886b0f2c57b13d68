"""Takes due turns and starts their calls: committed as ``sending`` first, called after."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.outbound.decisions import checks, lines, pacing, window
from services.outbound.decisions.fold import Fold
from services.outbound.decisions.turns import Look, Turn, take
from services.outbound.dispatch.calls import Calls
from services.outbound.model import Heard, Message, PairState, Rules, Send, Sender, SenderKey, TemplateFact
from services.outbound.store import Store
from shared.contracts.content import Template
from shared.contracts.pair import Pair
from shared.platform.faults import is_transient
from shared.platform.running import Running

POLL_SECONDS = 0.05
"""How long a due turn may go unnoticed; also the largest step in which a sender's rate is granted."""
PAUSE_SECONDS = 1.0
POSTPONED = timedelta(minutes=1)
"""How long a pair is left alone whose turn could not be decided."""
TURNS_OF_HALTED = 200
"""Turns of a halted sender taken at once: its messages are only marked as held."""


class Claims:
    """The dispatcher: any number of processes may run it on the same tables."""

    def __init__(self, store: Store, calls: Calls, rules: Rules) -> None:
        self._store = store
        self._calls = calls
        self._rules = rules
        self._listening_since: datetime | None = None
        self._log = structlog.get_logger()

    async def run(self, running: Running) -> None:
        """Dispatch until stopping, then wait for the calls under way."""
        while not running.stopping.is_set():
            try:
                busy = await self.dispatch(running)
            except Exception as error:
                if not is_transient(error):
                    raise
                self._log.warning("dispatch_retried", error=str(error)[:300])
                self._listening_since = None
                await running.wait(PAUSE_SECONDS)
                continue
            if not busy:
                await running.wait(POLL_SECONDS)
        await self._calls.finish()

    async def dispatch(self, running: Running) -> bool:
        """Take one round of due turns and start their calls. Returns whether there was any."""
        with self._calls.claiming():
            messages, any_taken = await self._claim(running)
            if messages:
                await self._start(running, messages)
        return any_taken

    async def _start(self, running: Running, messages: list[Message]) -> None:
        """Start the calls of committed claims, or give all of them back."""
        try:
            looks = await self._look_again(running, messages)
        except Exception:
            # Forgotten here, they would end in doubt, although no provider ever heard of them.
            self._calls.give_back(messages, "not_looked_at")
            raise
        for message in messages:
            self._calls.start(message, looks[message.send.pair], running.clock)

    async def _claim(self, running: Running) -> tuple[list[Message], bool]:
        """Decide due turns in one transaction. What comes back is committed as ``sending``."""
        async with running.transaction() as tx:
            now = running.clock.now()
            self._listening_since = self._listening_since or now
            senders = await self._store.senders.lock_due(tx, now)
            grants = {key: pacing.grant(sender, now, self._rules) for key, sender in senders.items()}
            limits = {key: self._limit(sender, grants[key]) for key, sender in senders.items()}
            if not any(limits.values()):
                return [], False
            # Asked before ledgers and documents are read: whatever had been read by then is in them.
            heard = Heard(
                await running.read_up_to(window.HEARD_ON),
                listening_since=self._listening_since,
                documents_up_to=await running.read_up_to(checks.DOCUMENTS_ON),
            )
            pairs = await self._store.pairs.claim(tx, limits, now)
            turns = await self._turns(tx, pairs, senders, heard)
            messages = await self._take(running, tx, turns, now)
            await self._store.senders.save(tx, _spend(senders, grants, messages))
        running.wake()
        return messages, bool(pairs)

    def _limit(self, sender: Sender, grant: pacing.Grant) -> int:
        if sender.halted_reason is not None:
            return TURNS_OF_HALTED
        return min(grant.count, self._calls.free(sender.key))

    async def _turns(
        self,
        tx: AsyncConnection,
        pairs: Mapping[Pair, PairState],
        senders: Mapping[SenderKey, Sender],
        heard: Heard,
    ) -> list[Turn]:
        """Read the facts of claimed pairs, in new statements, after their locks."""
        if not pairs:
            return []
        heads = await self._store.sends.heads(tx, pairs)
        channels = await self._store.documents.channels(tx, senders)
        templates = await self._store.documents.templates(tx, _templates_of(heads.values()))
        beginnings = await self._store.hearing.beginnings(tx)
        heard = replace(heard, complete_since=window.complete_since(beginnings))
        return [
            Turn(
                state,
                heads.get(pair),
                checks.Facts(
                    ledger=state.ledger,
                    heard=heard,
                    line=lines.line_of(channels.get(SenderKey.of(pair), ())),
                    templates=_of_tenant(templates, pair.tenant_id),
                    halted=senders[SenderKey.of(pair)].halted_reason,
                ),
            )
            for pair, state in pairs.items()
        ]

    async def _take(
        self, running: Running, tx: AsyncConnection, turns: list[Turn], now: datetime
    ) -> list[Message]:
        """Decide the turns and save what follows; return the messages to put before their providers."""
        heads = {turn.head.ref: turn.head for turn in turns if turn.head is not None}
        fold = Fold({turn.pair.pair: turn.pair for turn in turns}, heads, now, self._rules)
        messages = [message for turn in turns if (message := self._take_one(fold, turn, now)) is not None]
        await self._store.pairs.save(tx, fold.pairs)
        await self._store.sends.save(tx, fold.sends)
        await running.save(tx, fold.outcome())
        return messages

    def _take_one(self, fold: Fold, turn: Turn, now: datetime) -> Message | None:
        try:
            taken = take(turn, now, self._rules)
            if taken.send is not None:
                fold.put_send(taken.send, at=now)
        except Exception:  # noqa: BLE001 - a bug that one message shows must not hold up all others
            self._log.exception("turn_raised", attempt=None if turn.head is None else turn.head.attempt)
            fold.schedule_turn(turn.pair.pair, now + POSTPONED)
            return None
        fold.put_pair(taken.pair)
        return taken.message

    async def _look_again(self, running: Running, messages: list[Message]) -> dict[Pair, Look]:
        """Read what the calls are checked against just before their write, for all of them at once."""
        sends = [message.send for message in messages]
        async with running.transaction() as tx:
            stored = await self._store.sends.load(tx, (send.ref for send in sends))
            pairs = await self._store.pairs.read(tx, (send.pair for send in sends))
            templates = await self._store.documents.templates(tx, _templates_of(sends))
            senders = await self._store.senders.read(tx, (SenderKey.of(send.pair) for send in sends))
        return {
            send.pair: Look(
                stored.get(send.ref),
                pairs[send.pair].ledger,
                _of_tenant(templates, send.pair.tenant_id),
                senders[SenderKey.of(send.pair)].halted_reason,
            )
            for send in sends
        }


def _spend(
    senders: Mapping[SenderKey, Sender], grants: Mapping[SenderKey, pacing.Grant], messages: list[Message]
) -> list[Sender]:
    used = dict.fromkeys(senders, 0)
    for message in messages:
        used[message.line.key] += 1
    return [grants[key].spent(senders[key], count) for key, count in used.items() if count]


def _templates_of(sends: Iterable[Send]) -> set[tuple[str, str]]:
    names = set()
    for send in sends:
        for content in (send.request.content, send.request.fallback_template):
            if isinstance(content, Template):
                names.add((send.pair.tenant_id, content.name))
    return names


def _of_tenant(
    templates: Mapping[tuple[str, str], list[TemplateFact]], tenant_id: str
) -> dict[str, list[TemplateFact]]:
    return {name: facts for (tenant, name), facts in templates.items() if tenant == tenant_id}
