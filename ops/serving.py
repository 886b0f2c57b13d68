"""`chatdesk migrate` and `chatdesk run`: prepare the services' schemas, and run a service."""

import importlib
import os
from typing import Annotated

import typer
import uvicorn

from ops.stack import ensure_up
from shared.platform.migrations import upgrade

MIGRATED = ("desk", "presence", "routing", "tickets", "outbound")
"""The services that own a database schema."""
_GRACE_SECONDS = 30


def migrate(
    service: Annotated[str | None, typer.Argument(help="One service; all of them when left out.")] = None,
) -> None:
    """Bring the services' database schemas up to date. Safe to repeat, and to run twice at once."""
    url = ensure_up().database_url
    for name in (service,) if service else MIGRATED:
        upgrade(name, url)
        typer.echo(f"{name} is up to date")


def run(
    service: Annotated[str, typer.Argument(help="presence, routing, tickets, outbound or desk.")],
    port: Annotated[int, typer.Option(envvar="CHATDESK_HTTP_PORT", help="For health and metrics.")] = 8080,
    host: Annotated[str, typer.Option(envvar="CHATDESK_HTTP_HOST")] = "127.0.0.1",
) -> None:
    """Run one service until it is told to stop."""
    addresses = ensure_up()
    os.environ.setdefault("CHATDESK_KAFKA", addresses.kafka)
    os.environ.setdefault("CHATDESK_DATABASE_URL", addresses.database_url)
    os.environ.setdefault("CHATDESK_REDIS_URL", addresses.redis_url)
    if service not in MIGRATED:
        raise typer.BadParameter(f"there is no service {service!r} to run; choose from {', '.join(MIGRATED)}")
    app = importlib.import_module(f"services.{service}.app").create_app()
    uvicorn.run(app, host=host, port=port, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS)
