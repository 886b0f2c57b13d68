"""Three servers below one folder, whichever way each is run."""

import shutil
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Generic, TypeVar

from ops.stack.addresses import Addresses
from ops.stack.errors import StackError
from ops.stack.kafka import KAFKA
from ops.stack.kinds import Kind, Server, ServerName, Standing, Tell
from ops.stack.postgres import POSTGRES
from ops.stack.redis import REDIS
from ops.stack.state import LOCK, held

KINDS: dict[ServerName, Kind] = {kind.name: kind for kind in (POSTGRES, KAFKA, REDIS)}

_Server = TypeVar("_Server", bound=Server)


class Stack(Generic[_Server]):
    """The three servers of one folder, each run as ``server`` says: started, found again, stopped."""

    def __init__(self, root: Path, tell: Tell, server: Callable[[ServerName], _Server]) -> None:
        self._root = root.absolute()
        self._tell = tell
        self._server = server

    @property
    def root(self) -> Path:
        """The folder with everything of this stack."""
        return self._root

    def server(self, name: ServerName) -> _Server:
        """Return one server, running or not."""
        return self._server(name)

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
                self._with_each(lambda server: server.stop_held())

    def reset(self) -> None:
        """Stop all three and remove their data."""
        if not self._root.exists():
            return
        with held(self._root, self._tell):
            self._with_each(lambda server: server.discard_held())
            for entry in self._root.iterdir():
                # The lock stays: others may be waiting for it.
                if entry.name != LOCK:
                    _remove(entry)

    def _with_each(self, act: Callable[[_Server], None]) -> None:
        with ThreadPoolExecutor(len(KINDS)) as pool:
            for ended in [pool.submit(act, self.server(name)) for name in KINDS]:
                ended.result()


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
