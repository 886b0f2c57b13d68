"""Free ports, and whose a listening port is."""

import socket
from collections.abc import Collection, Iterator
from pathlib import Path
from zlib import crc32

from ops.stack.errors import StackError

_LOWEST = 15_000
# Columns of /proc/net/tcp, and the state of a socket that listens.
_LOCAL, _STATE, _INODE = 1, 3, 9
_LISTEN = "0A"
# How the kernel writes 127.0.0.1 and 0.0.0.0, ::ffff:127.0.0.1, ::ffff:0.0.0.0 and ::.
_REACHED_BY_LOOPBACK = {
    "0100007F",
    "00000000",
    "0000000000000000FFFF00000100007F",
    "0000000000000000FFFF000000000000",
    "00000000000000000000000000000000",
}


def free_port(seed: str, avoid: Collection[int] = ()) -> int:
    """Return a port of 127.0.0.1 that nobody listens on, the same one for the same seed while it is free.

    Ports that the kernel hands to outgoing connections are left out: a client that reconnects to a stopped
    server there can connect to itself and so take the server's port away.
    """
    highest = min(_first_outgoing_port(), 61_000)
    width = highest - _LOWEST
    start = crc32(seed.encode()) % width
    for step in range(width):
        port = _LOWEST + (start + step) % width
        if port not in avoid and is_free(port):
            return port
    raise StackError(f"no free port between {_LOWEST} and {highest} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
    return True


def listened_by(port: int, pids: Collection[int]) -> bool:
    """Say whether this port of 127.0.0.1 is listened on, and by nobody but these processes."""
    listening = set(_listening_sockets(port))
    return bool(listening) and listening <= {inode for pid in pids for inode in _sockets_of(pid)}


def _first_outgoing_port() -> int:
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])


def _listening_sockets(port: int) -> Iterator[str]:
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        if not table.exists():
            continue
        for line in table.read_text("ascii").splitlines()[1:]:
            fields = line.split()
            address, _, hex_port = fields[_LOCAL].partition(":")
            if fields[_STATE] == _LISTEN and int(hex_port, 16) == port and address in _REACHED_BY_LOOPBACK:
                yield fields[_INODE]


def _sockets_of(pid: int) -> Iterator[str]:
    try:
        opened = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for descriptor in opened:
        try:
            target = str(descriptor.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")
