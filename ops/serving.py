"""`chatdesk migrate` and `chatdesk run`: prepare the services' schemas, and run a service."""

import gc
import importlib
import os
import socket
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from ops.preconditions import check_database, check_server, check_topics
from ops.refusal import Refusal
from ops.stack import address_of
from ops.topics import PARTITIONS
from shared.contracts.plain_words import in_words
from shared.platform.migrations import SchemaState, standing, upgrade

MIGRATED = ("desk", "presence", "routing", "tickets", "outbound")
"""The services that own a database schema."""
_ON_REDIS = ("presence",)
"""The services that need Redis."""
_GRACE_SECONDS = 30
_NOT_STARTED = 3
"""The exit code of a service that failed while it started; uvicorn's own."""
_OBJECTS_BEFORE_A_LOOK = 500_000
"""More than a batch makes, whose objects all live to its end: to look for cycles among them finds none and
took a third of routing's CPU time (docs/decisions/0046-look-for-cycles-rarely.md)."""


def migrate(
    service: Annotated[str | None, typer.Argument(help="One service; all of them when left out.")] = None,
) -> None:
    """Bring the services' database schemas up to date. Safe to repeat, and to run twice at once."""
    names = (_known(service),) if service else MIGRATED
    url = address_of("postgres")
    for name in names:
        try:
            typer.echo(_migrate(name, url))
        except DBAPIError as error:
            raise Refusal(f"{name} was not migrated: {error.orig}") from error


def _migrate(name: str, url: str) -> str:
    found = standing(name, url)
    check_server(found.postgres)
    if found.schema is SchemaState.AHEAD:
        return f"{name} is at {found.revision}, which is newer than this program: left as it is"
    upgrade(name, url)
    return f"{name} is up to date"


def run(
    service: Annotated[str, typer.Argument(help="presence, routing, tickets, outbound or desk.")],
    port: Annotated[
        int, typer.Option(envvar="CHATDESK_HTTP_PORT", min=0, max=65535, help="For health and metrics.")
    ] = 8080,
    host: Annotated[str, typer.Option(envvar="CHATDESK_HTTP_HOST")] = "127.0.0.1",
    partitions: PARTITIONS = None,
) -> None:
    """Run one service until it is told to stop. It starts only where servers, schema and topics are fit."""
    _known(service)
    os.environ["CHATDESK_KAFKA"] = kafka = address_of("kafka")
    os.environ["CHATDESK_DATABASE_URL"] = database_url = address_of("postgres")
    if service in _ON_REDIS:
        os.environ["CHATDESK_REDIS_URL"] = address_of("redis")
    if note := check_database(service, database_url):
        typer.echo(note, err=True)
    check_topics(service, kafka, os.environ.get("CHATDESK_TOPIC_PREFIX", ""), partitions)
    # Before anything starts: a service that reads when it finds its port taken would be half a system.
    listening = _bound(service, host, port)
    try:
        app = importlib.import_module(f"services.{service}.app").create_app()
    except ValidationError as error:
        raise Refusal(_in_settings(service, error)) from error
    gc.freeze()
    gc.set_threshold(_OBJECTS_BEFORE_A_LOOK, 20, 50)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS)
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    if not server.started:
        raise typer.Exit(_NOT_STARTED)


def _bound(service: str, host: str, port: int) -> socket.socket:
    """Take the port; who connects is answered once the service has started."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise Refusal(f"{service} cannot listen on {host}:{port}: {error.strerror}") from error
    return listening


def _known(service: str) -> str:
    if service not in MIGRATED:
        raise typer.BadParameter(f"there is no service {service!r}; choose from {', '.join(MIGRATED)}")
    return service


def _in_settings(service: str, error: ValidationError) -> str:
    """Name each variable at fault. Its value is left out: it may be private."""
    prefix = "CHATDESK" if error.title == "PlatformSettings" else service.upper()
    return "\n".join(
        f"{prefix}_{'_'.join(map(str, fault['loc'])).upper()} {in_words(fault)}"
        for fault in error.errors(include_url=False, include_input=False)
    )
