"""Asking for replays and drops, as the command does, and carrying them out in the test."""

from sqlalchemy import text

from shared.platform.replays import Replays
from shared.platform.service import Service
from tests.pipeline.builders import CountingDesk
from tests.pipeline.counting import HANDLES, NAME


def replays_of(desk: CountingDesk) -> Replays:
    return Replays(
        service=Service(NAME, desk.handlers, handles=HANDLES),
        transactions=desk.database.transaction,
        journal=desk.journal,
        pipeline=desk.pipeline,
        clock=desk.clock,
    )


async def ask_key(desk: CountingDesk, key: str, *, past_gaps: bool = False) -> None:
    async with desk.database.transaction() as tx:
        await tx.execute(
            text(
                "update parked_keys set asked_at = now(), asked_by = 'naledi', past_gaps = :p"
                " where key = :key"
            ),
            {"key": key, "p": past_gaps},
        )


async def ask_alone(desk: CountingDesk, asked: str = "replay", *, reason: str = "%") -> None:
    """Ask this of every record with such a reason."""
    async with desk.database.transaction() as tx:
        await tx.execute(
            text(
                "update parked_records set asked = :asked, asked_at = now(), asked_by = 'naledi',"
                " asked_why = 'a test' where reason like :reason and (not blocks_key or :asked = 'drop')"
            ),
            {"asked": asked, "reason": reason},
        )


async def settle(desk: CountingDesk) -> None:
    """Do what is asked until nothing more comes of it."""
    replays = replays_of(desk)
    while await replays.once():
        pass
