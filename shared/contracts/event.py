"""One event as the code sees it: CloudEvents 1.0 attributes beside a validated ``data`` model."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from shared.contracts.fields import Id, Reference, Time

_NAMESPACE = sha1(uuid.UUID("6f0a4c0e-3c52-5b0e-9c39-6d1f1c8a7e11").bytes, usedforsecurity=False)
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


class Model(BaseModel):
    """Base of everything on the wire: frozen, and blind to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Build one of values that were held to these bounds when they were read; nothing is checked again.

        For what a service says several times a message: `model_construct` takes longer than validation.
        Raises TypeError for a field that is missing or not the model's.
        """
        blank, required = _blank(cls)
        values = {**blank, **fields}
        if len(values) != len(blank) or not required <= fields.keys():
            wrong = (values.keys() - blank.keys()) | (required - fields.keys())
            raise TypeError(f"{cls.__name__}: {', '.join(sorted(wrong))}")
        model = cls.__new__(cls)
        object.__setattr__(model, "__dict__", values)
        object.__setattr__(model, "__pydantic_fields_set__", set(fields))
        object.__setattr__(model, "__pydantic_extra__", None)
        object.__setattr__(model, "__pydantic_private__", None)
        return model


@cache
def _blank(model: type[Model]) -> tuple[dict[str, Any], frozenset[str]]:
    """Return a model's fields in their order, each with its default, and those that have none."""
    fields = model.model_fields
    return (
        {name: field.default for name, field in fields.items()},
        frozenset(name for name, field in fields.items() if field.is_required()),
    )


DataT_co = TypeVar("DataT_co", bound=Model, covariant=True)


@dataclass(frozen=True, slots=True)
class Cause:
    """What made us act: an event that was read, or a timer that fired.

    New identifiers derive from it, so that a decision taken twice gets the same ones.
    """

    tenant_id: str
    id: str
    correlation_id: str | None = None
    causation_id: str | None = None


@dataclass(frozen=True, slots=True)
class Event(Generic[DataT_co]):
    """One CloudEvent with its validated payload (docs/contracts.md, 1).

    Bounds and aliases are the wire's and are held where an event is read; building one here checks nothing.
    """

    id: Id
    source: Reference
    type: Id
    subject: Annotated[str, Field(max_length=1024)]
    time: Time
    tenant_id: Annotated[str, Field(alias="tenantid", max_length=256)]
    pair_key: Annotated[Reference | None, Field(alias="pairkey")] = None
    correlation_id: Annotated[Id | None, Field(alias="correlationid")] = None
    causation_id: Annotated[Id | None, Field(alias="causationid")] = None
    data: DataT_co = field(kw_only=True)

    def as_cause(self) -> Cause:
        """Name this event as the cause of what follows from it."""
        return Cause(
            self.tenant_id, derived_id(self.source, self.id), self.correlation_id or self.id, self.id
        )


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 that these parts always give.

    Written out (RFC 9562, 5.5), for every message needs six of them: `uuid.uuid5` takes three times as long.
    """
    digest = _NAMESPACE.copy()
    digest.update("\x1f".join(parts).encode())
    named = digest.hexdigest()
    return f"{named[:8]}-{named[8:12]}-5{named[13:16]}-{_VARIANT[named[16]]}{named[17:20]}-{named[20:32]}"
