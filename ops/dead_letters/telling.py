"""Prints dead letters: as a table for people, as plain lines into a pipe, as JSON for programs."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.dead_letters.entries import Entry, Group
from ops.dead_letters.store import Original, Paused
from ops.printable import printable

_HEAD = ("SERVICE", "KEY", "COUNT", "OLDEST", "REASON", "FIRST", "STATE")


def tell_groups(groups: Sequence[Group], paused: Sequence[Paused]) -> None:
    """Print what is put aside, a line for each parked key or reason."""
    for one in paused:
        typer.echo(
            f"{one.service} reads no more of {one.place} since {_time(one.at)}, offset {one.offset}:"
            f" `chatdesk dead-letters resume {one.service} {one.place}` lets it read on"
        )
    if not groups:
        typer.echo("no dead letters")
        return
    tell_rows(
        _HEAD,
        [
            (
                group.service,
                group.key,
                str(len(group.entries)),
                _time(group.oldest),
                group.first.reason,
                group.first.name,
                _state(group),
            )
            for group in groups
        ],
    )


def tell_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table where somebody looks, else separated by tabs and without a head."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(map(printable, row)))
        return
    table = Table(*head, box=None)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(table)


def tell_one(one: Entry, original: Original, group: Group) -> None:
    """Print all about one record."""
    behind = len(group.entries) - 1 - group.entries.index(one) if one.blocks_key else 0
    told = [
        ("record", f"{one.name}, tenant {one.tenant_id or 'unknown'}"),
        ("place", one.place),
        ("key", f"{one.key}, parked" if one.blocks_key else one.key),
        ("reason", f"{one.reason}: {one.detail}"),
        ("attempts", f"{one.attempts}, since {_time(one.parked_at)}"),
        ("state", _state(Group(one.service, one.key, one.blocks_key, (one,)))),
    ]
    if one.blocks_key:
        told.append(("behind it", str(behind)))
    told.append(("record key", original.key or "none"))
    told += [("header", f"{name}: {value}") for name, value in original.headers]
    for name, text in told:
        typer.echo(printable(f"{name:<11}{text}"))
    typer.echo(f"{'value':<11}{original.size} bytes")
    typer.echo(printable(_pretty(original.value)))


def as_json(found: Any) -> str:
    """Write entries, groups and originals as JSON."""
    return json.dumps(found, indent=2, default=_plain)


def group_as_json(group: Group) -> dict[str, Any]:
    """Return what a program may want to know of a group."""
    return {
        "service": group.service,
        "key": group.key,
        "blocks_key": group.blocks_key,
        "count": len(group.entries),
        "oldest": group.oldest,
        "reason": group.first.reason,
        "records": [one.name for one in group.entries],
    }


def entry_as_json(one: Entry) -> dict[str, Any]:
    """Return all fields of an entry, and its name."""
    return {"name": one.name, **dataclasses.asdict(one)}


def _state(group: Group) -> str:
    if group.first.dropped_at is not None:
        return f"dropped by {group.first.asked_by}: {group.first.asked_why}"
    if group.first.asked is not None:
        return f"{group.first.asked} asked for by {group.first.asked_by}"
    return "parked" if group.blocks_key else "alone"


def _time(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ")


def _pretty(value: str | None) -> str:
    try:
        return json.dumps(json.loads(value or ""), indent=2, ensure_ascii=False)
    except ValueError:
        return "none" if value is None else value


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)
