"""The three servers as local processes below one folder."""

import platform
import shutil
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ops.stack import state
from ops.stack.addresses import Addresses
from ops.stack.children import Child, family, is_alive, kill, last_words, spawn, stop, working_in
from ops.stack.errors import StackError
from ops.stack.kafka import KAFKA
from ops.stack.kinds import Kind, Program, ServerName, Tell
from ops.stack.ports import free_port, is_free, listened_by
from ops.stack.postgres import POSTGRES
from ops.stack.redis import REDIS

KINDS: dict[ServerName, Kind] = {kind.name: kind for kind in (POSTGRES, KAFKA, REDIS)}

_LOCK = "lock"
_TRIES = 3
# Five times what a busy machine of two cores was seen to need.
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.03


def quietly(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Standing:
    """A server that runs: where, and one line on what was chosen and why."""

    address: str
    chosen: str
    pid: int


class LocalServer:
    """One server of a local stack, to be stopped, started and killed on its own; its data stay."""

    def __init__(self, kind: Kind, root: Path, tell: Tell) -> None:
        self._kind = kind
        self._root = root
        self._tell = tell
        self._record = root / f"{kind.name}.json"
        self._data = root / kind.name
        self._log = root / "logs" / f"{kind.name}.log"

    @property
    def address(self) -> str:
        """Where it was last started; StackError if it never was."""
        if (record := state.read(self._record)) is None:
            raise StackError(f"{self._kind.name} was never started in {self._root}")
        return self._kind.address(record.port)

    @property
    def log(self) -> Path:
        """The file with everything it said."""
        return self._log

    def standing(self) -> Standing | None:
        """Tell of the running server; None if it does not run."""
        record = state.read(self._record)
        if record is None or not is_alive(record.child):
            return None
        return Standing(self._kind.address(record.port), record.chosen, record.child.pid)

    def start(self) -> Standing:
        """Start it on its data and, unless somebody else took it, its port; nothing changes if it answers."""
        with held(self._root, self._tell):
            return self.start_held()

    def stop(self) -> None:
        """End it in good order."""
        with held(self._root, self._tell):
            self.stop_held()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        with held(self._root, self._tell):
            if record := state.read(self._record):
                kill(record.child)

    def restart(self) -> Standing:
        """Stop and start it."""
        with held(self._root, self._tell):
            self.stop_held()
            return self.start_held()

    def answers(self) -> bool:
        """Say whether our own server answers on its port now."""
        record = state.read(self._record)
        return record is not None and self._is_ready(record)

    def start_held(self) -> Standing:
        """As `start`, for a caller that holds the stack's lock."""
        record = state.read(self._record)
        if record is None or not is_alive(record.child):
            record = self._launch(record)
        elif not self._becomes_ready(record):
            raise StackError(
                f"{self._kind.name} (process {record.child.pid}) runs but does not answer on port"
                f" {record.port}: `chatdesk stack down` stops it; its log is {self._log}"
            )
        return Standing(self._kind.address(record.port), record.chosen, record.child.pid)

    def stop_held(self) -> None:
        """As `stop`, for a caller that holds the stack's lock."""
        record = state.read(self._record)
        if record and is_alive(record.child) and not stop(record.child, self._kind.stopped_by, _STOP_SECONDS):
            self._tell(f"{self._kind.name} did not stop within {_STOP_SECONDS:.0f} s and was killed")

    def _launch(self, last: state.Record | None) -> state.Record:
        program = self._kind.find(self._tell)
        self._log.parent.mkdir(exist_ok=True)
        self._stop_strays(program)
        program.prepare(self._data, self._log)
        port = last.port if last else 0
        for _ in range(_TRIES):
            # A port that was free a moment ago may be somebody else's by the time the server asks for it.
            if not (port and is_free(port)):
                port = free_port(f"{self._root} {self._kind.name}")
            record = self._spawn(program, port)
            if self._becomes_ready(record):
                return record
            if is_alive(record.child):
                stop(record.child, self._kind.stopped_by, _STOP_SECONDS)
                break
        raise StackError(f"{self._kind.name} does not start: {last_words(self._log)}")

    def _stop_strays(self, program: Program) -> None:
        # Servers whose record was lost, or what a killed one left behind: two on one folder would spoil it.
        for stray in working_in(self._data.resolve(), program.executable.resolve().name):
            kill(stray)

    def _spawn(self, program: Program, port: int) -> state.Record:
        child = spawn(program.launch(self._data, port), self._log)
        record = state.Record(child, port, f"{program.origin} on 127.0.0.1:{port} ({program.reason})")
        state.write(self._record, record)
        return record

    def _becomes_ready(self, record: state.Record) -> bool:
        deadline = monotonic() + _START_SECONDS
        while is_alive(record.child) and monotonic() < deadline:
            if self._is_ready(record):
                return True
            sleep(_POLL_SECONDS)
        return False

    def _is_ready(self, record: state.Record) -> bool:
        pids = _pids(record.child)
        return listened_by(record.port, pids) and self._kind.silence(self._kind.address(record.port)) is None


class LocalStack:
    """The three servers below one folder: data, logs and process ids; independent of any other folder's."""

    def __init__(self, root: Path, tell: Tell = quietly) -> None:
        self._root = root.absolute()
        self._tell = tell

    @property
    def root(self) -> Path:
        """The folder with everything of this stack."""
        return self._root

    def server(self, name: ServerName) -> LocalServer:
        """Return one server, running or not."""
        return LocalServer(KINDS[name], self._root, self._tell)

    def up(self) -> Addresses:
        """Start what does not run, keep what does, and return when all three answer."""
        standing = self.start(tuple(KINDS))
        return Addresses(
            kafka=standing["kafka"].address,
            database_url=standing["postgres"].address,
            redis_url=standing["redis"].address,
            chosen=tuple(one.chosen for one in standing.values()),
        )

    def start(self, names: Collection[ServerName]) -> dict[ServerName, Standing]:
        """Start these servers side by side; those that answer are left alone, without waiting for anybody."""
        servers = {name: self.server(name) for name in names}
        found = {name: server.standing() for name, server in servers.items() if server.answers()}
        running = {name: one for name, one in found.items() if one is not None}
        if len(running) == len(servers):
            return running
        with held(self._root, self._tell), ThreadPoolExecutor(len(KINDS)) as pool:
            started = {name: pool.submit(server.start_held) for name, server in servers.items()}
        refusals = [refusal for one in started.values() if isinstance(refusal := one.exception(), StackError)]
        if refusals:
            raise StackError("\n".join(map(str, refusals)))
        return {name: one.result() for name, one in started.items()}

    def down(self) -> None:
        """Stop all three; the data stay."""
        if self._root.exists():
            with held(self._root, self._tell):
                self._stop_all()

    def reset(self) -> None:
        """Stop all three and remove their data."""
        if not self._root.exists():
            return
        with held(self._root, self._tell):
            self._stop_all()
            for entry in self._root.iterdir():
                # The lock stays: others may be waiting for it.
                if entry.name != _LOCK:
                    _remove(entry)

    def _stop_all(self) -> None:
        with ThreadPoolExecutor(len(KINDS)) as pool:
            for ended in [pool.submit(self.server(name).stop_held) for name in KINDS]:
                ended.result()


@contextmanager
def held(root: Path, tell: Tell) -> Iterator[None]:
    """Hold the stack's lock, so that nobody else starts or stops its servers meanwhile."""
    if platform.system() != "Linux":
        raise StackError(
            "local servers need Linux; elsewhere give some by CHATDESK_KAFKA, CHATDESK_DATABASE_URL and"
            " CHATDESK_REDIS_URL"
        )
    root.mkdir(parents=True, exist_ok=True)
    with state.locked(root / _LOCK, lambda: tell(f"waiting for another command on {root}")):
        yield


def _remove(entry: Path) -> None:
    try:
        if entry.is_symlink():
            # A server's data that had to be put elsewhere, in a folder of their own.
            shutil.rmtree(entry.resolve().parent, ignore_errors=not entry.exists())
            entry.unlink()
        elif entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    except OSError as refusal:
        raise StackError(f"cannot remove {entry}: {refusal}") from None


def _pids(child: Child) -> list[int]:
    return [one.pid for one in family(child)]
