"""`chatdesk stack`: the local Kafka, PostgreSQL and Redis."""

from typing import Annotated

import typer

from ops.stack.errors import StackError
from ops.stack.local import KINDS
from ops.stack.resolve import ensure_up, project_stack

app = typer.Typer(help="The local Kafka, PostgreSQL and Redis.", no_args_is_help=True)


def _aside(line: str) -> None:
    typer.echo(line, err=True)


@app.command()
def up() -> None:
    """Start what does not run yet; addresses given in the environment are used as they are."""
    try:
        addresses = ensure_up(_aside)
    except StackError as refusal:
        _aside(f"stack: {refusal}")
        raise typer.Exit(1) from None
    for line in addresses.chosen:
        typer.echo(line)


@app.command()
def down() -> None:
    """Stop the local servers; their data stay."""
    project_stack(_aside).down()


@app.command()
def reset() -> None:
    """Stop the local servers and remove their data."""
    project_stack(_aside).reset()


@app.command()
def status(
    *,
    env: Annotated[bool, typer.Option("--env", help="Print `export` lines for a shell's eval.")] = False,
) -> None:
    """Print where the local servers are; exit 1 unless all three run."""
    stack = project_stack(_aside)
    standing = {kind: stack.server(kind.name).standing() for kind in KINDS.values()}
    for kind, one in standing.items():
        if env and one:
            typer.echo(f"export {kind.variable}={one.address}")
        elif not env:
            typer.echo(
                f"{kind.name:9}{one.address}  {one.chosen}, process {one.pid}"
                if one
                else f"{kind.name:9}down"
            )
    if None in standing.values():
        raise typer.Exit(1)
