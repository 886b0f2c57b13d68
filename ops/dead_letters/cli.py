"""`chatdesk dead-letters`: look at what services have put aside; replay it, drop it, resume partitions."""

import asyncio
import getpass
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Annotated

import typer

from ops.dead_letters import telling
from ops.dead_letters.entries import Entry, Group, Wanted, grouped, require_found, whole_keys
from ops.dead_letters.store import Store, opened
from ops.printable import printable
from ops.refusal import Refusal
from ops.stack import address_of
from shared.platform.clock import SystemClock

app = typer.Typer(help="What services could not handle.", no_args_is_help=True)

WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.2
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}

NAMES = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Such as routing/12.")]
SERVICE = Annotated[str | None, typer.Option(help="Of this service.")]
TENANT = Annotated[str | None, typer.Option(help="Of this tenant.")]
KEY = Annotated[str | None, typer.Option(help="Of this key, exactly.")]
TOPIC = Annotated[str | None, typer.Option(help="From this topic.")]
REASON = Annotated[str | None, typer.Option(help="With this reason.")]
SINCE = Annotated[str | None, typer.Option(help="Put aside since: 30m, 2h, 7d, or 2026-11-22T18:00:00Z.")]
JSON = Annotated[bool, typer.Option("--json", help="For programs.")]
DRY_RUN = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done, in which order.")]
YES = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
NO_WAIT = Annotated[bool, typer.Option("--no-wait", help="Do not wait for the service to do it.")]
BY = Annotated[str | None, typer.Option(help="Who asks; the user's name when left out.")]


@app.callback()
def dead_letters() -> None:
    """What services could not handle."""


@app.command("list")
def list_(
    *,
    service: SERVICE = None,
    tenant: TENANT = None,
    key: KEY = None,
    topic: TOPIC = None,
    reason: REASON = None,
    since: SINCE = None,
    dropped: Annotated[bool, typer.Option("--dropped", help="What was dropped, instead.")] = False,
    as_json: JSON = False,
) -> None:
    """List parked keys and other records put aside, and paused partitions."""
    wanted = Wanted((), service, tenant, key, topic, reason, _since(since), dropped)

    async def run() -> None:
        async with opened(address_of("postgres")) as store:
            groups = grouped([one for one in await store.entries(service) if wanted.covers(one)])
            paused = await store.paused(service)
        if as_json:
            told = {"groups": [telling.group_as_json(one) for one in groups], "paused": _places(paused)}
            typer.echo(telling.as_json(told))
        else:
            telling.tell_groups(groups, paused)

    asyncio.run(run())


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ID", help="Such as routing/12.")], *, as_json: JSON = False
) -> None:
    """Print a record as it came, why it was put aside, and what waits behind it."""

    async def run() -> None:
        async with opened(address_of("postgres")) as store:
            entries = await store.entries()
            require_found(Wanted((name,)), entries)
            one = next(entry for entry in entries if entry.name == name)
            original = await store.original(one)
        group = next(group for group in grouped(entries) if one in group.entries)
        if as_json:
            told = telling.entry_as_json(one) | {"value": original.value, "headers": original.headers}
            typer.echo(telling.as_json(told | {"record_key": original.key}))
        else:
            telling.tell_one(one, original, group)

    asyncio.run(run())


@app.command()
def replay(
    names: NAMES = None,
    *,
    service: SERVICE = None,
    tenant: TENANT = None,
    key: KEY = None,
    topic: TOPIC = None,
    reason: REASON = None,
    since: SINCE = None,
    by: BY = None,
    past_gaps: Annotated[
        bool, typer.Option("--past-gaps", help="Replay over versions that are missing for good.")
    ] = False,
    dry_run: DRY_RUN = False,
    yes: YES = False,
    no_wait: NO_WAIT = False,
) -> None:
    """Hand records to their service again. A parked key goes as a whole, in order; failures stay parked."""
    wanted = Wanted(tuple(names or ()), service, tenant, key, topic, reason, _since(since))
    _require_choice(wanted)

    async def run() -> None:
        async with opened(address_of("postgres")) as store:
            entries = await _meant(store, wanted)
            chosen = whole_keys([one for one in entries if one.dropped_at is None], wanted)
            if not _agreed(chosen, f"replay {_records(chosen)}?", dry_run=dry_run, yes=yes):
                return
            await store.ask_replay(chosen, by=by or getpass.getuser(), past_gaps=past_gaps)
            if not no_wait:
                await _until_done(store, chosen)
                _report(chosen, await store.entries())

    asyncio.run(run())


@app.command()
def drop(
    names: NAMES = None,
    *,
    why: Annotated[str, typer.Option(help="Why; it is kept and published.")],
    service: SERVICE = None,
    tenant: TENANT = None,
    key: KEY = None,
    topic: TOPIC = None,
    reason: REASON = None,
    since: SINCE = None,
    by: BY = None,
    dry_run: DRY_RUN = False,
    yes: YES = False,
    no_wait: NO_WAIT = False,
) -> None:
    """Decide that records never are handled. What waits behind one waits on until it is replayed."""
    wanted = Wanted(tuple(names or ()), service, tenant, key, topic, reason, _since(since))
    _require_choice(wanted)

    async def run() -> None:
        async with opened(address_of("postgres")) as store:
            chosen = [one for one in await _meant(store, wanted) if wanted.covers(one)]
            question = f"drop {_records(chosen)}? Nobody will handle them."
            if not _agreed(chosen, question, dry_run=dry_run, yes=yes):
                return
            await store.ask_drop(chosen, by=by or getpass.getuser(), why=why)
            if not no_wait:
                await _until_done(store, chosen)
                typer.echo(f"dropped {_records(chosen)}")

    asyncio.run(run())


@app.command()
def resume(
    service: Annotated[str, typer.Argument(help="Such as routing.")],
    place: Annotated[str | None, typer.Argument(metavar="[TOPIC[/PARTITION]]")] = None,
) -> None:
    """Let a service read on where too many dead letters have paused it. Counting starts anew."""

    async def run() -> None:
        async with opened(address_of("postgres")) as store:
            paused = await store.paused(service)
            meant = [one for one in paused if place in {None, one.topic, one.place}]
            if place is not None and not meant:
                there = ", ".join(one.place for one in paused) or "nothing is"
                raise Refusal(f"{place} is not paused in {service}: {there}")
            await store.resume(meant)
        for one in meant:
            typer.echo(f"{service} reads on from {one.place}, offset {one.offset}")
        if not meant:
            typer.echo(f"nothing of {service} is paused")

    asyncio.run(run())


def _since(text: str | None) -> datetime | None:
    """Read a duration back from now, or a time with its zone."""
    if text is None:
        return None
    if found := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return SystemClock().now() - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is neither 30m, 2h, 7d nor a time such as 2026-11-22T18:00:00Z")
    return at


def _require_choice(wanted: Wanted) -> None:
    if wanted.is_everything:
        raise Refusal("say which: an ID, --key, --reason or another filter")


async def _meant(store: Store, wanted: Wanted) -> list[Entry]:
    entries = await store.entries(wanted.service)
    require_found(wanted, entries)
    return entries


def _agreed(chosen: list[Entry], question: str, *, dry_run: bool, yes: bool) -> bool:
    """Show what would be done, in which order, and ask; the command ends here when the answer is no."""
    if not chosen:
        typer.echo("no dead letter is meant")
        return False
    _tell_order(grouped(chosen))
    if dry_run:
        typer.echo("nothing was done")
        return False
    _confirm(question, yes=yes)
    return True


def _tell_order(groups: Sequence[Group]) -> None:
    for group in groups:
        order = ", in this order:" if group.blocks_key else ":"
        typer.echo(printable(f"{group.service} {group.key}{order}"))
        for one in group.entries:
            typer.echo(printable(f"  {one.name}  {one.place}  {one.reason}"))


def _confirm(question: str, *, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise typer.Exit(1)


async def _until_done(store: Store, chosen: Sequence[Entry]) -> None:
    deadline = monotonic() + WAIT_SECONDS
    while left := await store.asked(chosen):
        if monotonic() > deadline:
            raise Refusal(
                f"not done after {WAIT_SECONDS:g} s, {len(left)} records are left: is the service running?"
                " What was asked stays asked, and is done once it runs."
            )
        await asyncio.sleep(_POLL_SECONDS)


def _report(chosen: Sequence[Entry], now: Sequence[Entry]) -> None:
    """Tell what became of a replay; end with 1 when anything is still put aside."""
    there = {one.name: one for one in now}
    left = [there[one.name] for one in chosen if one.name in there]
    typer.echo(f"replayed {_records([one for one in chosen if one.name not in there])}")
    for group in grouped(left):
        one = group.first
        behind = f", {len(group.entries) - 1} wait behind it" if len(group.entries) > 1 else ""
        typer.echo(printable(f"failed again: {one.name} {one.reason}: {one.detail}{behind}"))
    if left:
        raise typer.Exit(1)


def _records(entries: Sequence[Entry]) -> str:
    return f"{len(entries)} record{'' if len(entries) == 1 else 's'}"


def _places(paused: Sequence[object]) -> list[dict[str, object]]:
    return [{name: getattr(one, name) for name in ("service", "topic", "partition", "at")} for one in paused]
