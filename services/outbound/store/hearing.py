"""How complete our reading of the inbound log is."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_BEGIN = text(
    "insert into inbound_beginnings (partition, first_offset, received_at) "
    "select * from unnest(cast(:partitions as int[]), cast(:offsets as bigint[]),"
    " cast(:times as timestamptz[])) on conflict do nothing"
)
_BEGINNINGS = text("select first_offset, received_at from inbound_beginnings")


class Hearing:
    """Statements on ``inbound_beginnings``."""

    async def begin(self, tx: AsyncConnection, firsts: Mapping[int, tuple[int, datetime]]) -> None:
        """Note where the reading of each partition began: offset, and when that message was received."""
        if not firsts:
            return
        partitions = sorted(firsts)
        await tx.execute(
            _BEGIN,
            {
                "partitions": partitions,
                "offsets": [firsts[one][0] for one in partitions],
                "times": [firsts[one][1] for one in partitions],
            },
        )

    async def beginnings(self, tx: AsyncConnection) -> list[tuple[int, datetime]]:
        """Read where the reading of each partition began: offset, and when that message was received."""
        return [(offset, received_at) for offset, received_at in await tx.execute(_BEGINNINGS)]
