"""What a chat remembers between its decisions, told again from its facts, to hold their records against."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.contracts import chats
from shared.contracts.event import Event

_PASSED = frozenset({"declined", "timed_out", "cancelled"})
"""How an offer of a department ends where its receiver passed on the chat."""
_IN_ITS_SLOT = frozenset({"accepted", "assigned"})
"""How an offer ends where the chat may go on in the slot that it took."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A chat after some of its facts, from the first on."""

    last: Event[chats.ChatFact] | None = None
    offer: chats.ChatOffered | None = None
    """The last offer, if it stands."""
    queued_at: datetime | None = None
    passed_by: tuple[str, ...] = ()
    passed_before: tuple[str, ...] = ()
    """Who had passed on it before it entered the queue that it waits in."""
    were_silent: tuple[str, ...] = ()

    def after(self, event: Event[chats.ChatFact]) -> "Remembered":
        """Return what is remembered after one fact more."""
        known = replace(self, last=event)
        match event.data:
            case chats.ChatQueued() | chats.ChatRequeued():
                known = replace(known, queued_at=event.time, passed_by=(), passed_before=self.passed_by)
            case chats.ChatAssigned() | chats.ChatTransferred() | chats.ChatDiverted():
                known = replace(known, offer=None, passed_by=())
            case chats.ChatOffered(to=to) as offer:
                starts_over = offer.kind == "assign" and to in self.passed_by
                known = replace(known, offer=offer, passed_by=() if starts_over else self.passed_by)
            case chats.ChatOfferEnded(outcome=outcome) if outcome in _PASSED and self.offer is not None:
                if self.offer.kind == "assign":
                    known = replace(known, passed_by=(*self.passed_by, self.offer.to))
            case chats.ChatMessageAdded(direction="outbound"):
                return replace(known, were_silent=())
            case _:
                pass
        silent = isinstance(event.data, chats.ChatAlerted) or (
            isinstance(event.data, chats.ChatAssigned) and event.data.reason == "agent_silent"
        )
        return replace(known, were_silent=self.silent_with_its_agent) if silent else known

    @property
    def silent_with_its_agent(self) -> tuple[str, ...]:
        """Who was silent, and who has the chat now."""
        agent_id = self.last.data.agent_id if self.last is not None else None
        return self.were_silent if agent_id is None else (*self.were_silent, agent_id)

    def unlike(self, event: Event[chats.ChatFact]) -> Iterator[str]:
        """Say in what the record of the next fact differs from what the chat remembers."""
        why = event.data.why or {}
        offered = isinstance(event.data, chats.ChatOffered) and event.data.kind == "assign"
        if self._waits_to_be_offered and not (offered and self._together_with(event)):
            yield f"it was queued to be offered at once, told was {type(event.data).__name__}"
        if "since" in why and (self.queued_at is None or why["since"] != self.queued_at.isoformat()):
            yield f"it has waited since {self.queued_at}"
        match why:
            case {"receiver": _, "strategy": _}:
                pass  # chosen by the strategy: whoever holds the chat has room for it beside
            case {"receiver": named} if why.get("has_slot", False) != self._has_slot(named[0], event):
                yield f"{named[0]} {'has no' if why.get('has_slot') else 'has a'} slot for it"
            case {"strategy": _}:
                yield from self._unlike_those_left_out(why)
            case _:
                pass

    def _unlike_those_left_out(self, why: Mapping[str, Any]) -> Iterator[str]:
        """Nobody is left out but who was silent, or passed on the chat; whoever was or did is recorded."""
        if "silent" in why:
            if (*why["silent"],) != self.silent_with_its_agent:
                yield f"silent were {', '.join(self.silent_with_its_agent)}"
            return
        passed = self.passed_before if self._waits_to_be_offered else self.passed_by
        if (*why.get("passed_by", ()),) != passed:
            yield f"it was passed on by {', '.join(passed) or 'nobody'}"

    @property
    def _waits_to_be_offered(self) -> bool:
        return self.last is not None and self.last.data.why == {"mode": "offer"}

    def _has_slot(self, agent_id: str, event: Event[chats.ChatFact]) -> bool:
        """Whether somebody holds the chat, or was offered it until just now."""
        if self.last is None:
            return False
        before = self.last.data
        ended = isinstance(before, chats.ChatOfferEnded) and before.outcome in _IN_ITS_SLOT
        if ended and getattr(before, "to", None) == agent_id and self._together_with(event):
            return True
        return before.state == "assigned" and before.agent_id == agent_id

    def _together_with(self, event: Event[chats.ChatFact]) -> bool:
        """Whether the last fact is of the same decision as this one."""
        last = self.last
        return last is not None and (last.time, last.causation_id) == (event.time, event.causation_id)
