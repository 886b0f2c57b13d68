"""Wrap-up: its end by the clock, which needs no input to be read (docs/decisions/0085)."""

from services.routing.decisions.floor import Floor
from services.routing.model import Chat
from shared.contracts.event import Cause
from shared.platform.outcome import Due


def wrap_up_over(floor: Floor, row: Due, cause: Cause, chat: Chat) -> None:
    """Free the slot that was held after a chat's end, for whoever waits in its agent's departments."""
    if chat.wrap_up_until is not None and chat.wrap_up_until <= row.at:
        floor.end_wrap_up(cause, chat, "over")
