"""Who did something."""

from typing import Literal

from shared.contracts.event import Model
from shared.contracts.fields import Id


class Actor(Model):
    """A person, or ``system`` for whatever no person did. ``id`` is absent for the customer and us."""

    role: Literal["customer", "agent", "supervisor", "admin", "system"]
    id: Id | None = None
