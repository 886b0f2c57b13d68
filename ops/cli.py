"""The operators' command line, `chatdesk`."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from ops.refusal import Refusal

# Each command, and where it is: a Typer app with commands of its own, or one function. A module is imported
# when its command is asked for, so that a quick one does not wait for what the others stand on.
COMMANDS = {
    "stack": "ops.stack.cli:app",
    "topics": "ops.topics:app",
    "directory": "ops.directory:app",
    "tail": "ops.topics:tail",
    "why": "ops.why.cli:why",
    "dead-letters": "ops.dead_letters.cli:app",
    "hand-over": "ops.hand_over.cli:hand_over",
    "migrate": "ops.serving:migrate",
    "run": "ops.serving:run",
    "contracts": "ops.published.cli:app",
    "demo": "ops.demo.cli:demo",
}


class _Menu(TyperGroup):
    # The context and command types are private to Typer.
    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the menu is the same everywhere
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - as above
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(cmd_name)(function)
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


def menu() -> typer.Typer:
    """Return the whole command line."""
    app = typer.Typer(
        cls=_Menu,
        help="Chat Desk: run, feed and look into the desk.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    # Without this Typer finds nothing to run: its own list of commands is empty.
    app.callback()(lambda: None)
    return app


def main() -> None:
    """Run the command line; the entry point of the package. A refusal is told without a traceback."""
    try:
        menu()()
    except Refusal as refusal:
        typer.echo(str(refusal), err=True)
        raise SystemExit(1) from None
