"""Which of the channel documents that name a business address carries its messages."""

from collections.abc import Iterable

from services.outbound.model import ChannelFact, Line


def line_of(documents: Iterable[ChannelFact]) -> Line | None:
    """Choose among the documents of one address; None when there is none.

    A retired document's address still sends what was asked for, unless another document took it over.
    """
    in_order = sorted(documents, key=lambda one: (one.retired, one.id))
    return in_order[0].line if in_order else None
