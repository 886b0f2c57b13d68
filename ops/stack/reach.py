"""Folders that a user other than root can get to, when root runs a server under such a user."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path


def is_open_to_all(folder: Path) -> bool:
    """Say whether any user gets into this folder and through those above it."""
    resolved = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (resolved, *resolved.parents))


def make_open_to_all(folder: Path) -> None:
    """Make the folder and, if need be, those above it, so that others get through but see nothing.

    What is there already stays as it is.
    """
    if folder.exists():
        return
    make_open_to_all(folder.parent)
    folder.mkdir(exist_ok=True)
    folder.chmod(0o711)


def copy_open_to_all(source: Path, parts: Sequence[str], target: Path) -> None:
    """Copy these folders below the source, unless the target is there; all may use what its owner may."""
    if target.exists():
        return
    unfinished = target.with_name(f"{target.name}.{os.getpid()}")
    for part in parts:
        shutil.copytree(source / part, unfinished / part, symlinks=True)
    for place in _within(unfinished):
        mode = place.stat().st_mode & 0o777
        owners = mode & 0o500
        place.chmod(mode | owners >> 3 | owners >> 6)
    try:
        unfinished.rename(target)
    except OSError:
        # Somebody else was first; what is there is as good.
        shutil.rmtree(unfinished)
        if not target.exists():
            raise


def _within(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (place for place in folder.rglob("*") if not place.is_symlink())
