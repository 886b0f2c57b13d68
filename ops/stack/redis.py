"""Redis: redis-server or valkey-server of the machine, else the binary inside a pinned jar."""

import platform
import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from signal import SIGTERM

from ops.stack import jars
from ops.stack.answers import redis_silence
from ops.stack.children import Launch
from ops.stack.errors import StackError
from ops.stack.kinds import Box, Boxed, Kind, Tell

_OLDEST = (6, 2)
_IN_JAR = {
    "x86_64": "redis-server-6.2.6-v5-linux-amd64",
    "aarch64": "redis-server-6.2.7-linux-arm64",
}
_SETTINGS = {
    # From an append-only file a restart or a crash of the server keeps the data.
    "--appendonly": "yes",
    "--appendfsync": "everysec",
    "--save": "",
    "--daemonize": "no",
}
_INSTALL = "`sudo apt-get install redis-server` installs one"


@dataclass(frozen=True)
class RedisProgram:
    """A redis-server, or what speaks like one."""

    executable: Path
    origin: str
    reason: str

    def prepare(self, data: Path, log: Path) -> None:  # noqa: ARG002 - Redis needs no more than its folder
        """Make the folder that the append-only file goes into."""
        data.mkdir(exist_ok=True)

    def launch(self, data: Path, port: int) -> Launch:
        """Serve on loopback alone."""
        placed = {"--port": str(port), "--bind": "127.0.0.1", "--dir": str(data)}
        return Launch([str(self.executable), *_options(_SETTINGS | placed)], data)


def find(tell: Tell, *, machine: str = platform.machine()) -> RedisProgram:
    """Choose the program: PATH first, then the jar."""
    for name in ("redis-server", "valkey-server"):
        on_path = shutil.which(name)
        if on_path and (version := _version(Path(on_path))) and version >= _OLDEST:
            return RedisProgram(Path(on_path), _origin(name, version, on_path), "found on PATH")
    binary = _from_jar(tell, machine)
    version = _version(binary)
    if version is None:
        raise StackError(f"Redis is missing, and {binary} does not run here (OpenSSL 3?): {_INSTALL}")
    return RedisProgram(
        binary, _origin("redis-server", version, str(binary)), "none on PATH, so the one in a pinned jar"
    )


def _options(settings: Mapping[str, str]) -> list[str]:
    return [word for pair in settings.items() for word in pair]


def _boxed(host: str, port: int) -> Boxed:  # noqa: ARG001 - Redis tells nobody where it is
    # Who reaches the port is the engine's to say: nobody but this machine.
    placed = {"--port": str(port), "--protected-mode": "no"}
    return Boxed(environment={}, command=("redis-server", *_options(_SETTINGS | placed)))


def _origin(name: str, version: tuple[int, ...], place: str) -> str:
    product = "Valkey" if name.startswith("valkey") else "Redis"
    return f"{product} {'.'.join(map(str, version))} from {place}"


def _version(binary: Path) -> tuple[int, ...] | None:
    try:
        told = subprocess.run(  # noqa: S603 - a server found on PATH or taken from a pinned jar
            [binary, "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\bv=(\d+)\.(\d+)\.(\d+)", told)
    return tuple(map(int, found.groups())) if found else None


def _from_jar(tell: Tell, machine: str) -> Path:
    member = _IN_JAR.get(machine)
    if member is None:
        raise StackError(f"Redis {'.'.join(map(str, _OLDEST))} or newer is missing: {_INSTALL}")
    (jar,) = jars.fetch("redis", tell)
    binary = jars.cache() / "redis" / member
    if not binary.exists():
        jars.put(binary, zipfile.ZipFile(jar).read(member), mode=0o755)
    return binary


REDIS = Kind(
    name="redis",
    product="Redis",
    variable="CHATDESK_REDIS_URL",
    find=find,
    box=Box("redis:8", "/data", _boxed),
    address=lambda port: f"redis://127.0.0.1:{port}/0",
    silence=redis_silence,
    stopped_by=SIGTERM,
)
