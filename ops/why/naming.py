"""How `chatdesk why` names people, reasons and values."""

from collections.abc import Mapping
from typing import Any

from shared.contracts.actors import Actor


def because(reason: str | None) -> str:
    """Tell a reason beside what it led to."""
    return f" ({words(reason)})" if reason else ""


def who(actor: Actor | None) -> str:
    """Name somebody who did something."""
    if actor is None:
        return "nobody"
    return f"{actor.role} {actor.id}" if actor.id else f"the {actor.role}"


def words(name: str) -> str:
    """Write a name of ours in words."""
    return name.replace("_", " ")


def plain(value: Any) -> str:
    """Write a value of JSON in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{words(str(key))} {plain(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(plain, value)) or "none"
    return str(value)
