"""`chatdesk directory`: the documents of a tenant, kept in a file and applied as a whole."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, assert_never

import typer
from sqlalchemy.exc import DBAPIError

from ops.holidays import holidays
from ops.published.files import tenant_schema_json
from ops.stack import StackError, address_of
from ops.tenant_file import BadFile, Mistake, TenantFile, read_tenant_file
from ops.tenant_text import text_of
from services.desk.app import (
    KINDS,
    Applied,
    Conflict,
    Conflicted,
    Directory,
    DocumentKey,
    Edit,
    Invalid,
    Kept,
    Left,
    Plan,
    Removed,
    Waiting,
    open_directory,
)
from shared.contracts.directory import DirectoryDocument
from shared.platform import log
from shared.platform.settings import PlatformSettings

app = typer.Typer(help="The documents of a tenant.", no_args_is_help=True)
app.command()(holidays)

_NO_SCHEMA = ("3F000", "42P01")
_LONGEST_VALUE = 60


@app.callback()
def directory() -> None:
    """The documents of a tenant: departments, agents, calendars, channels, templates, routing rules."""


_File = Annotated[Path, typer.Argument(help="A tenant and its documents, in YAML.")]
ResultT = TypeVar("ResultT")
_DIFFERS = 3
"""How `plan` ends when applying would change something."""


@app.command()
def plan(file: _File) -> None:
    """Tell what applying a file would change. Ends with 0: nothing, 3: something, 1: it cannot be applied."""
    wanted = _read(file)
    found = _with_documents(lambda documents: _planned(documents, file, wanted))
    changed = [edit.key for edit in found.edits if edit.changes]
    _tell(f"{file} (only looked at)", found, changed)
    if changed:
        raise typer.Exit(_DIFFERS)


@app.command()
def apply(file: _File) -> None:
    """Make a tenant's documents what a file says. What the file leaves out stays as it is."""
    wanted = _read(file)
    _with_documents(lambda documents: _apply(documents, file, wanted))


@app.command()
def remove(
    tenant: Annotated[str, typer.Argument(help="The tenant's id.")],
    kind: Annotated[str, typer.Argument(help="Such as department, agent or calendar.")],
    name: Annotated[str, typer.Argument(metavar="ID", help="The document's id.")],
) -> None:
    """Take a document off its topic that was retired long enough ago and that nothing names any more."""
    if kind not in KINDS:
        _fail([f"there is no kind {kind!r}; there is {', '.join(KINDS)}"])
    _with_documents(lambda documents: _remove(documents, DocumentKey(tenant, kind, name)))


@app.command()
def export(tenant: Annotated[str, typer.Argument(help="The tenant's id.")]) -> None:
    """Print a tenant's documents as a file that `plan` finds no difference with."""
    found = _with_documents(lambda documents: documents.of_tenant(tenant))
    if not found:
        _fail([f"there is no tenant {tenant!r}"])
    typer.echo(text_of(tenant, [(key.kind, document) for key, document in found]), nl=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a tenant's file, by which editors complete it and mark mistakes."""
    typer.echo(tenant_schema_json(), nl=False)


def _with_documents(work: Callable[[Directory], Awaitable[ResultT]]) -> ResultT:
    """Open the documents for some work. What keeps it from being done is told in a line, and ends it."""
    log.configure("CRITICAL", "directory")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def run(settings: PlatformSettings) -> ResultT:
        async with open_directory(settings) as documents:
            return await work(documents)

    try:
        settings = PlatformSettings(kafka=address_of("kafka"), database_url=address_of("postgres"))
        return asyncio.run(run(settings))
    except (StackError, OSError) as error:
        _fail([str(error)])
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _NO_SCHEMA:
            _fail(["the desk has no tables in this database yet: run `chatdesk migrate`"])
        _fail([f"the database does not go along: {error.orig}"])


def _read(file: Path) -> TenantFile:
    try:
        return read_tenant_file(file.read_text(encoding="utf-8"))
    except OSError as error:
        _fail([f"{file}: {error.strerror}"])
    except UnicodeDecodeError:
        _fail([f"{file}: is not text in UTF-8"])
    except BadFile as error:
        _fail_at(file, error.mistakes)


async def _planned(documents: Directory, file: Path, wanted: TenantFile) -> Plan:
    found = await documents.plan(wanted.tenant_id, wanted.documents)
    if isinstance(found, Invalid):
        _fail_invalid(file, wanted, found)
    return found


async def _apply(documents: Directory, file: Path, wanted: TenantFile) -> None:
    planned = await _planned(documents, file, wanted)
    match await documents.apply(planned):
        case Applied(written=written):
            _tell(str(file), planned, written)
            await _publish(documents, is_new=bool(written))
        case Conflicted(conflicts=conflicts):
            _fail([_collision(one) for one in conflicts] + ["nothing was written: look and apply again"])
        case Invalid() as invalid:
            _fail_invalid(file, wanted, invalid)
        case other:
            assert_never(other)


async def _remove(documents: Directory, key: DocumentKey) -> None:
    match await documents.remove(key):
        case Removed(is_new=is_new):
            typer.echo(f"{_name(key)} of {key.tenant_id} {'is removed' if is_new else 'was removed before'}")
            await _publish(documents, is_new=is_new)
        case Kept(reasons=reasons):
            told = [f"{_name(key)} of {key.tenant_id} {reason}" for reason in reasons]
            _fail([*told, "nothing was removed"])
        case other:
            assert_never(other)


def _tell(source: str, planned: Plan, changed: Iterable[DocumentKey]) -> None:
    """Print what changed of each document, and what the file left out."""
    keys = set(changed)
    edits = [edit for edit in planned.edits if edit.key in keys]
    typer.echo(f"{planned.tenant_id}, from {source}")
    for edit in edits:
        verb = "updated" if edit.before else "created"
        typer.echo(f"  {verb:9}{_name(edit.key):40}{_difference(edit)}".rstrip())
    updated = sum(edit.before is not None for edit in edits)
    created, same = len(edits) - updated, len(planned.edits) - len(edits)
    typer.echo(f"{created} created, {updated} updated, {same} unchanged")
    if planned.untouched:
        names = ", ".join(_name(key) for key in planned.untouched)
        typer.echo(f"not in the file and left as they are (nothing is ever removed here): {names}")


def _difference(edit: Edit) -> str:
    """Write ``capacity 3 → 5`` for each field that differs."""
    if edit.before is None:
        return ""
    before, after = _fields(edit.before), _fields(edit.wanted)
    changed = [name for name in after if before[name] != after[name]]
    return ", ".join(f"{name} {_value(before[name])} → {_value(after[name])}" for name in changed)


def _fields(document: DirectoryDocument) -> dict[str, Any]:
    return document.model_dump(mode="json", by_alias=True, exclude={"revision"})


def _value(value: Any) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return shown if len(shown) <= _LONGEST_VALUE else shown[: _LONGEST_VALUE - 1] + "…"


def _name(key: DocumentKey) -> str:
    return f"{key.kind} {key.id}"


async def _publish(documents: Directory, *, is_new: bool) -> None:
    match await documents.publish():
        case Left(by_us=by_us):
            if by_us:
                typer.echo("published from here: no desk service is running")
            elif is_new:
                typer.echo("published by the running desk service")
        case Waiting(rows=rows, reason=reason):
            why = f" ({reason})" if reason else ""
            _fail(
                [
                    f"written, but {rows} documents are not published yet{why}",
                    "the desk service will publish them; so does applying again",
                ]
            )
        case other:
            assert_never(other)


def _collision(conflict: Conflict) -> str:
    if not conflict.revision:
        return f"{_name(conflict.key)} was removed by somebody else just now"
    return (
        f"{_name(conflict.key)} was changed by somebody else just now:"
        f" it is at revision {conflict.revision}, and was at {conflict.expected_revision} when this began"
    )


def _fail_invalid(file: Path, wanted: TenantFile, invalid: Invalid) -> NoReturn:
    mistakes = [wanted.mistake(one.nth, one.path, one.message) for one in invalid.problems]
    _fail_at(file, sorted(mistakes, key=lambda mistake: mistake.line))


def _fail_at(file: Path, mistakes: Sequence[Mistake]) -> NoReturn:
    _fail([*(f"{file}:{one.line}: {one}" for one in mistakes), "nothing was written"])


def _fail(lines: Sequence[str]) -> NoReturn:
    for line in lines:
        typer.echo(line, err=True)
    raise typer.Exit(1)
