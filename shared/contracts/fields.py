"""The kinds of field that the contracts share: bounded strings, times, counts, opaque JSON."""

from datetime import UTC, datetime
from math import isfinite
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints

_DEEPEST = 32
_WIDEST = 2**63
WALL_TIME = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
"""``HH:MM`` on a clock."""


def read_time(value: object) -> datetime:
    """Return the moment in UTC. Raises ValueError when it is no RFC 3339 text or carries no offset.

    Numbers are refused: nobody can tell seconds from milliseconds.
    """
    if isinstance(value, datetime):
        time = value
    elif isinstance(value, str):
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be a time such as 2026-11-22T18:00:00Z") from None
    else:
        raise ValueError("must be a time such as 2026-11-22T18:00:00Z")  # noqa: TRY004 - pydantic's contract
    if time.tzinfo is UTC:
        return time
    if time.utcoffset() is None:
        raise ValueError("must carry a time zone")
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999 in UTC") from None


def _plain(value: Any) -> Any:
    """Let through what every JSON reader and PostgreSQL can hold: finite, 64 bits, not too deep."""
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for outer in level:
            if isinstance(outer, str):
                continue
            if isinstance(outer, dict):
                inner += outer.values()
            elif isinstance(outer, list | tuple):
                inner += outer
            elif isinstance(outer, int | float):
                _require_plain_number(outer)
        if not inner:
            return value
        level = inner
    raise ValueError(f"must not nest deeper than {_DEEPEST} levels")


def _require_plain_number(value: float) -> None:
    if isinstance(value, int):
        if not -_WIDEST <= value < _WIDEST:
            raise ValueError("must hold numbers of at most 64 bits")
    elif not isfinite(value):
        raise ValueError("must hold finite numbers only")


Id: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""Any identifier: ours are UUIDs, a provider's or another system's may be any string."""
Reference: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
"""What names a place rather than a thing: an event's source, a pair's key."""
Address: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""A phone number or a provider's person id, as its owner writes it (raw)."""
Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A machine-readable word from an open list: a reason, a status code, a language tag."""
Skill: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=64)
]
"""What somebody can do that not everybody can: a language, a product. In lower case once read."""
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Line: TypeAlias = Annotated[str, StringConstraints(max_length=1024)]
Body: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Detail: TypeAlias = Annotated[str, StringConstraints(max_length=65_536)]
"""Text that others wrote beside the point; it may be empty."""
Url: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Channel: TypeAlias = Literal["whatsapp", "sms"]
Time: TypeAlias = Annotated[AwareDatetime, BeforeValidator(read_time)]
"""A moment, in UTC once read. On the wire RFC 3339 with an offset."""
Count: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Seconds: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=31_622_400)]
"""Whole seconds, up to a year."""
Priority: TypeAlias = Annotated[int, Field(strict=True, ge=-100, le=100)]
"""Higher goes first; 0 is ordinary."""
Flag: TypeAlias = Annotated[bool, Field(strict=True)]
JsonValue: TypeAlias = Annotated[Any, AfterValidator(_plain)]
JsonObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A JSON object that is passed on and never interpreted."""
