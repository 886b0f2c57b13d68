"""The kinds of field that the contracts share: bounded strings, times, counts."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AwareDatetime, Field, StringConstraints

Id: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""Any identifier: ours are UUIDs, a provider's or another system's may be any string."""
Address: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128)]
"""A phone number or a provider's user id, as its owner writes it (raw)."""
Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A machine-readable word from an open list: a reason, a status code, a language tag."""
Name: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Line: TypeAlias = Annotated[str, StringConstraints(max_length=1024)]
Body: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]
Url: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Channel: TypeAlias = Literal["whatsapp", "sms"]
Time: TypeAlias = AwareDatetime
"""RFC 3339 with an offset; a time without one is refused."""
Count: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=2**53)]
Seconds: TypeAlias = Annotated[int, Field(strict=True, ge=0, le=31_622_400)]
"""Whole seconds, up to a year."""
Priority: TypeAlias = Annotated[int, Field(strict=True, ge=-100, le=100)]
"""Higher goes first; 0 is ordinary."""
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object that is passed on and never interpreted."""
