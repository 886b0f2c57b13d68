"""``customers.v1``: the documents people keep about customers."""

from pydantic import ConfigDict, Field

from shared.contracts.event import Model
from shared.contracts.fields import Count, Flag, Id, JsonObject, Line, Time, Word
from shared.contracts.pairs import PairRef


class CustomerChanged(Model):
    """The whole document of a customer and the pairs that are theirs. ``fields_`` is written ``fields``."""

    model_config = ConfigDict(populate_by_name=True)

    id: Id
    revision: Count
    name: Line | None = None
    language: Word | None = None
    vip: Flag = False
    blocked: Flag = False
    pairs: tuple[PairRef, ...] = ()
    fields_: JsonObject | None = Field(default=None, alias="fields")


class CustomerErased(Model):
    """Forget this customer: later, older or replayed records of them are dropped."""

    id: Id
    revision: Count
    erased_at: Time
    pairs: tuple[PairRef, ...] = ()
