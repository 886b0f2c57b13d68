"""The operators' command line, `chatdesk`."""

import typer

from ops import serving, topics
from ops.stack import cli as stack

_SUB_COMMANDS = {
    "stack": stack.app,
    "topics": topics.app,
}
_COMMANDS = (serving.migrate, serving.run, topics.tail)


def main() -> None:
    """Run the command line; the entry point of the package."""
    app = typer.Typer(
        help="Chat Desk: run, feed and look into the desk.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    # With no command of its own Typer would take a lone sub-app for the whole program.
    app.callback()(lambda: None)
    for command in _COMMANDS:
        app.command()(command)
    for name, sub_app in _SUB_COMMANDS.items():
        app.add_typer(sub_app, name=name)
    app()
