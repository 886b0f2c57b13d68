"""The three servers as local processes below one folder."""

import platform
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from ops.stack import state
from ops.stack.children import Child, family, is_alive, kill, last_words, spawn, stop, working_in
from ops.stack.errors import StackError
from ops.stack.kinds import Kind, Program, Standing, Tell, quietly
from ops.stack.ports import free_port, is_free, listened_by
from ops.stack.stack import KINDS, Stack
from ops.stack.state import held

_TRIES = 3
# Five times what a busy machine of two cores was seen to need.
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.03


@dataclass(frozen=True)
class Process(Standing):
    """A server that runs as a process of this machine."""

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

    @property
    def is_made(self) -> bool:
        """Say whether it has data here already."""
        return self._data.exists()

    def standing(self) -> Process | None:
        """Tell of the running server; None if it does not run."""
        record = state.read(self._record)
        if record is None or not is_alive(record.child):
            return None
        return Process(self._kind.address(record.port), record.chosen, record.child.pid)

    def start(self) -> Process:
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

    def restart(self) -> Process:
        """Stop and start it."""
        with held(self._root, self._tell):
            self.stop_held()
            return self.start_held()

    def answers(self) -> bool:
        """Say whether our own server answers on its port now."""
        record = state.read(self._record)
        return record is not None and self._is_ready(record)

    def start_held(self) -> Process:
        """As `start`, for a caller that holds the stack's lock."""
        record = state.read(self._record)
        if record is None or not is_alive(record.child):
            record = self._launch(record)
        elif not self._becomes_ready(record):
            raise StackError(
                f"{self._kind.name} (process {record.child.pid}) runs but does not answer on port"
                f" {record.port}: `chatdesk stack down` stops it; its log is {self._log}"
            )
        return Process(self._kind.address(record.port), record.chosen, record.child.pid)

    def stop_held(self) -> None:
        """As `stop`, for a caller that holds the stack's lock."""
        record = state.read(self._record)
        if record and is_alive(record.child) and not stop(record.child, self._kind.stopped_by, _STOP_SECONDS):
            self._tell(f"{self._kind.name} did not stop within {_STOP_SECONDS:.0f} s and was killed")

    def discard_held(self) -> None:
        """As `stop_held`: all that it keeps is in the stack's folder, but for what a link there leads to."""
        self.stop_held()

    def _launch(self, last: state.Record | None) -> state.Record:
        if platform.system() != "Linux":
            raise StackError(
                "local servers need Linux; elsewhere start a Docker engine, or give some by CHATDESK_KAFKA,"
                " CHATDESK_DATABASE_URL and CHATDESK_REDIS_URL"
            )
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


class LocalStack(Stack[LocalServer]):
    """The three servers as local processes, independent of any other folder's."""

    def __init__(self, root: Path, tell: Tell = quietly) -> None:
        super().__init__(root, tell, lambda name: LocalServer(KINDS[name], self.root, tell))


def _pids(child: Child) -> list[int]:
    return [one.pid for one in family(child)]
