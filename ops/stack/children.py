"""Server processes that outlive whoever started them, and are known again by more than their number."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

_POLL_SECONDS = 0.02
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Fields of /proc/<pid>/stat, counted from the one after the name.
_STATE, _PARENT, _THREADS, _STARTED = 0, 1, 17, 19
# What a server may inherit; settings meant for other servers (PGDATA, JAVA_TOOL_OPTIONS) may not leak in.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")

# Our own children must be waited for, or they stay as zombies until we end.
_spawned: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Child:
    """One process, told from a later one with the same number by its start (clock ticks since boot)."""

    pid: int
    started: int
    boot: str


@dataclass(frozen=True)
class Launch:
    """A command to run; as another user if `uid` is given, which needs root."""

    argv: Sequence[str]
    folder: Path
    uid: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


def spawn(launch: Launch, log: Path) -> Child:
    """Start the command in a session of its own, so that it outlives us; it appends to the log."""
    with log.open("ab") as output:
        started = subprocess.Popen(  # noqa: S603 - a server chosen by us, its arguments as a list
            list(launch.argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env=_environment(launch),
            start_new_session=True,
            user=launch.uid,
            group=launch.uid,
            extra_groups=None if launch.uid is None else [],
        )
    _spawned[started.pid] = started
    return identify(started.pid) or Child(started.pid, 0, _boot())


def run_to_end(launch: Launch, log: Path, said: str = "") -> bool:
    """Run a command to its end, `said` its input, its words to the log; say whether it succeeded."""
    with log.open("ab") as output:
        ended = subprocess.run(  # noqa: S603 - a command chosen by us, its arguments as a list
            list(launch.argv),
            input=said.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=launch.folder,
            env=_environment(launch),
            user=launch.uid,
            group=launch.uid,
            extra_groups=None if launch.uid is None else [],
            check=False,
        )
    return ended.returncode == 0


def last_words(log: Path) -> str:
    """Return the last line of a log, and where to read the rest."""
    lines = [line for line in log.read_text("utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].strip() if lines else 'it said nothing'} (log: {log})"


def _environment(launch: Launch) -> dict[str, str]:
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(launch.environment)


def identify(pid: int) -> Child | None:
    """Return the running process of this number; None if there is none, or only its zombie."""
    fields = _stat(pid)
    # While other threads are still ending, a zombie's files and sockets are open.
    if fields is None or (fields[_STATE] in {"Z", "X"} and int(fields[_THREADS]) <= 1):
        return None
    return Child(pid, int(fields[_STARTED]), _boot())


def is_alive(child: Child) -> bool:
    """Say whether this very process still runs."""
    if child.pid in _spawned and _spawned[child.pid].poll() is not None:
        del _spawned[child.pid]
    return identify(child.pid) == child


def family(child: Child) -> list[Child]:
    """Return the process and all its descendants; nothing if it is gone."""
    if not is_alive(child):
        return []
    parents = {pid: parent for pid in _all_pids() if (parent := _parent(pid)) is not None}
    found = {child.pid}
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return [child, *(one for pid in sorted(found - {child.pid}) if (one := identify(pid)) is not None)]


def working_in(folder: Path, program: str) -> list[Child]:
    """Return the processes of this program (its file's name) whose working folder this is."""
    return [
        one
        for pid in _all_pids()
        if _link(pid, "cwd") == folder and (exe := _link(pid, "exe")) is not None and exe.name == program
        if (one := identify(pid)) is not None
    ]


def stop(child: Child, by: signal.Signals, patience_seconds: float) -> bool:
    """Ask the process to end and wait for it; False if it did not and was killed with its descendants."""
    relatives = family(child)
    _signal(child, by)
    if _gone(relatives[:1], patience_seconds):
        return True
    kill(child)
    return False


def kill(child: Child) -> None:
    """End the process and its descendants at once, without a chance to tidy up."""
    relatives = family(child)
    for one in relatives:
        _signal(one, signal.SIGKILL)
    _gone(relatives, patience_seconds=10)


def _signal(child: Child, which: signal.Signals) -> None:
    # The descriptor pins the process: between the check and the signal its number cannot go to another one.
    try:
        pinned = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    try:
        if identify(child.pid) == child:
            signal.pidfd_send_signal(pinned, which)
    except ProcessLookupError:
        pass
    finally:
        os.close(pinned)


def _gone(children: Sequence[Child], patience_seconds: float) -> bool:
    deadline = monotonic() + patience_seconds
    while any(is_alive(child) for child in children):
        if monotonic() > deadline:
            return False
        sleep(_POLL_SECONDS)
    return True


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in parentheses and may hold anything, spaces and parentheses too.
    return text.rpartition(")")[2].split()


def _link(pid: int, name: str) -> Path | None:
    try:
        return Path(f"/proc/{pid}/{name}").readlink()
    except OSError:
        return None


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return None if fields is None else int(fields[_PARENT])


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _boot() -> str:
    return _BOOT_ID.read_text("ascii").strip()
