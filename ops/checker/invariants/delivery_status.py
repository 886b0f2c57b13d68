"""7: a delivery status never goes backwards."""

from collections.abc import Iterator

from ops.checker.story import Story, Told, steps
from ops.checker.verdict import Verdict

_NAME = "delivery status never goes backwards"
_RANK = {"accepted": 1, "sent": 2, "delivered": 3, "read": 4, "played": 5}
_UNANSWERED = frozenset({"held", "in_doubt", "unknown"})
"""Told before the provider's own word on the message is known."""
_MAY_FAIL = frozenset({"accepted", "sent"})
ANOMALY = "succeeded_after_failure"


def delivery_status(story: Story) -> Verdict:
    """Judge every status that was told of a request by the one before it."""
    checked = sum(len(told) for told in story.deliveries.values())
    return Verdict(7, _NAME, checked, list(_backwards(story)))


def _backwards(story: Story) -> Iterator[str]:
    for (_, request_id), told in story.deliveries.items():
        for before, after in steps(told):
            if after is not None and not _follows(_state(before), after):
                yield f"{request_id} went from {_state(before)} to {_state(after)} ({after.record.where})"


def _state(told: Told) -> str:
    return told.event.type.split(".")[2]


def _follows(before: str, after: Told) -> bool:
    now = _state(after)
    if before in _UNANSWERED:
        return before == "held" or now != "held"
    if before == "refused":
        return False
    if before == "failed":
        return _RANK.get(now, 0) >= _RANK["delivered"] and after.event.data.reason == ANOMALY
    if now == "failed":
        return before in _MAY_FAIL
    return _RANK.get(now, 0) > _RANK[before]
