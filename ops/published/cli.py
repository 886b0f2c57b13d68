"""`chatdesk contracts`: what other systems are given, whether it is true, and what it would break."""

from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from ops.published import files
from ops.published.compat import Change, changes
from ops.published.schema_changes import Weight
from ops.refusal import Refusal

app = typer.Typer(no_args_is_help=True, help="JSON Schemas, AsyncAPI, examples; compatibility.")

_Folder = Annotated[Path, typer.Argument(help="Where they are.", show_default="contracts/ of this checkout")]


@app.command("export")
def export(
    folder: _Folder = files.HOME,
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if a file is stale.")] = False,
) -> None:
    """Write the JSON Schemas, the AsyncAPI document and the examples from the catalogue."""
    written = _written()
    if not check:
        files.export(folder, written)
        print(f"{folder}: {len(written)} files")
    elif wrong := files.stale(folder, written):
        raise Refusal(
            "\n".join(f"{folder.name}/{name} is not what the catalogue says" for name in wrong)
            + "\nrun `chatdesk contracts export` and read the difference"
        )


@app.command("compat")
def compat(
    *,
    against: Annotated[
        str | None, typer.Option(help="A release, or a folder. Without: the last release.")
    ] = None,
    folder: Annotated[Path, typer.Option(help="What is compared with it.")] = files.HOME,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when something breaks others.")] = False,
) -> None:
    """Say what changed since a release, and what of it breaks other systems."""
    base = _base(against)
    if base is None:
        print("NOT COMPARED: no version of the contracts has been released yet")
        return
    found = changes(files.published(base.folder), files.published(folder))
    for line in lines_of(found):
        print(line)
    counted = ", ".join(f"{sum(one.weight is kind for one in found)} {kind.value}" for kind in Weight)
    print(f"contracts against {base.name}: {counted}")
    if strict and any(one.weight is Weight.BREAKS for one in found):
        raise typer.Exit(1)


@app.command("release")
def release(
    name: Annotated[str, typer.Argument(help="v0.1, v1.0, …")],
    *,
    again: Annotated[bool, typer.Option("--again", help="Replace the copy of that name.")] = False,
) -> None:
    """Keep a frozen copy of what is published, which later versions are held to."""
    if not files.is_release(name):
        raise Refusal(f"{name} is no version such as v0.1")
    written = _written()
    if files.stale(files.HOME, written):
        raise Refusal("the committed contracts are stale: run `chatdesk contracts export` first")
    target = files.HOME / "released" / name
    if target.exists() and not again:
        raise Refusal(f"{name} is released; --again replaces it, as long as nobody has it")
    files.export(target, written)
    print(f"{target}: {len(written)} files")


def lines_of(found: list[Change]) -> list[str]:
    """Return a line for each change; one that many types share is told once."""

    def shared(change: Change) -> tuple[int, str, str]:
        return list(Weight).index(change.weight), change.where, change.what

    lines = []
    for _, group in groupby(sorted(found, key=shared), key=shared):
        first, *others = group
        more = f" and {len(others)} more" if others else ""
        lines.append(f"{first.weight.value:8}{first.where}: {first.what} ({first.subject}{more})")
    return lines


def _written() -> dict[str, str]:
    if not (files.HOME / "examples").is_dir():
        raise Refusal(f"{files.HOME} is not there: this command is for a checkout of the repository")
    return files.written()


def _base(against: str | None) -> files.Release | None:
    known = files.releases()
    if against is None:
        return known[-1] if known else None
    named = [one for one in known if one.name == against]
    folder = Path(against)
    if not named and not (folder / "asyncapi.yaml").is_file():
        names = ", ".join(one.name for one in known) or "none yet"
        raise Refusal(f"{against} is neither a release ({names}) nor a folder of contracts")
    return named[0] if named else files.Release(against, folder)
