"""``customers.v1``: the documents people keep about customers."""

from shared.contracts.event import Model
from shared.contracts.fields import Count, Id, JsonObject, Line, Time, Word
from shared.contracts.pairs import PairRef


class CustomerChanged(Model):
    """The whole document of a customer and the pairs that are theirs."""

    id: Id
    revision: Count
    name: Line | None = None
    language: Word | None = None
    vip: bool = False
    blocked: bool = False
    pairs: tuple[PairRef, ...] = ()
    fields_: JsonObject | None = None


class CustomerErased(Model):
    """Forget this customer: later, older or replayed records of them are dropped."""

    id: Id
    revision: Count
    erased_at: Time
    pairs: tuple[PairRef, ...] = ()
