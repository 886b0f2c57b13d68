"""What is written down of a running server, and the lock under which it changes."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.stack.children import Child
from ops.stack.errors import StackError
from ops.stack.kinds import Tell

LOCK = "lock"
"""The file of a stack's folder that is locked while its servers change."""


@dataclass(frozen=True)
class Record:
    """A server that was started: its process, its port on 127.0.0.1, and what was chosen and why."""

    child: Child
    port: int
    chosen: str


@dataclass(frozen=True)
class BoxRecord:
    """A container that was started: its port on 127.0.0.1, and what was chosen and why."""

    port: int
    chosen: str


def read(file: Path) -> Record | None:
    """Return what the file tells; None if it is missing or was cut short."""
    try:
        told = json.loads(file.read_text("utf-8"))
        return Record(Child(**told["child"]), int(told["port"]), str(told["chosen"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_box(file: Path) -> BoxRecord | None:
    """As `read`, of a container."""
    try:
        told = json.loads(file.read_text("utf-8"))
        return BoxRecord(int(told["port"]), str(told["chosen"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(file: Path, record: Record | BoxRecord) -> None:
    """Replace the file in one step, so that a reader sees the old or the new record."""
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(asdict(record)), "utf-8")
    draft.replace(file)


@contextmanager
def held(root: Path, tell: Tell) -> Iterator[None]:
    """Hold the stack's lock, so that nobody else starts or stops its servers meanwhile.

    The lock goes with its holder, however that ends. StackError if the folder is another user's.
    """
    root.mkdir(parents=True, exist_ok=True)
    file = root / LOCK
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    except PermissionError:
        raise StackError(
            f"{file.parent} belongs to another user; CHATDESK_LOCAL names another place for it"
        ) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for another command on {root}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
