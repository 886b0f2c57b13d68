"""One event as the code sees it: CloudEvents 1.0 attributes beside a validated ``data`` model."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict

_NAMESPACE = uuid.UUID("6f0a4c0e-3c52-5b0e-9c39-6d1f1c8a7e11")


class Model(BaseModel):
    """Base of everything on the wire: frozen, and blind to fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="ignore")


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
    """One CloudEvent with its validated payload (system.md, 2)."""

    id: str
    source: str
    type: str
    subject: str
    time: datetime
    tenant_id: str
    data: DataT_co
    pair_key: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None

    def as_cause(self) -> Cause:
        """Name this event as the cause of what follows from it."""
        return Cause(
            self.tenant_id, derived_id(self.source, self.id), self.correlation_id or self.id, self.id
        )


def derived_id(*parts: str) -> str:
    """Return the UUIDv5 that these parts always give."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))
