"""Children to test the stack with, without servers."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

from ops.stack.children import Child, Launch, family, kill, spawn

WAITING = "import signal\nprint('ready', flush=True)\nsignal.pause()"
DEAF = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITING
LISTENING = "import socket, sys\ntaken = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n" + WAITING
A_PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@contextmanager
def a_child(folder: Path, *code_and_arguments: str) -> Iterator[Child]:
    """Run Python code as a child of the stack, from its word `ready` on; its family is gone afterwards."""
    log = folder / "child.log"
    log.unlink(missing_ok=True)
    child = spawn(Launch([sys.executable, "-c", *code_and_arguments], folder), log)
    try:
        deadline = monotonic() + 20
        while "ready" not in log.read_text("utf-8"):
            assert monotonic() < deadline, log.read_text("utf-8")
            sleep(0.01)
        yield child
    finally:
        for one in family(child):
            kill(one)
