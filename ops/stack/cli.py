"""`chatdesk stack`: the local Kafka, PostgreSQL and Redis."""

import os
from collections.abc import Callable
from shlex import quote
from typing import Annotated, TypeVar

import typer

from ops.stack.addresses import Given, given
from ops.stack.errors import StackError
from ops.stack.kinds import Kind, Standing
from ops.stack.resolve import ensure_up, project_stack
from ops.stack.stack import KINDS

_Result = TypeVar("_Result")

app = typer.Typer(help="The local Kafka, PostgreSQL and Redis.", no_args_is_help=True, add_completion=False)


def _aside(line: str) -> None:
    typer.echo(line, err=True)


def _or_exit(act: Callable[[], _Result]) -> _Result:
    try:
        return act()
    except StackError as refusal:
        for line in str(refusal).splitlines():
            _aside(f"stack: {line}")
        raise typer.Exit(1) from None


@app.command()
def up() -> None:
    """Start what does not run yet; addresses given in the environment are used as they are."""
    addresses = _or_exit(lambda: ensure_up(_aside))
    for line in addresses.chosen:
        typer.echo(line)


@app.command()
def down() -> None:
    """Stop the local servers; their data stay."""
    _or_exit(lambda: project_stack(_aside).down())


@app.command()
def reset() -> None:
    """Stop the local servers and remove their data."""
    _or_exit(lambda: project_stack(_aside).reset())
    typer.echo("the local servers are stopped, and their data removed")


@app.command()
def status(
    *,
    env: Annotated[bool, typer.Option("--env", help="Print `export` lines for a shell's eval.")] = False,
) -> None:
    """Print which servers are in use and where; exit 1 unless all three run."""
    found = {kind: _in_use(kind) for kind in KINDS.values()}
    for kind, one in found.items():
        if env and one:
            typer.echo(f"export {kind.variable}={quote(one.address)}")
        elif not env:
            typer.echo(one.chosen if one else f"{kind.product} is down")
    if None in found.values():
        raise typer.Exit(1)


def _in_use(kind: Kind) -> Given | Standing | None:
    try:
        return given(kind, os.environ) or project_stack(_aside).server(kind.name).standing()
    except StackError as refusal:
        _aside(f"stack: {refusal}")
        return None
