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
# It tells of SIGTERM and, after it if both came, of SIGWINCH. Blocked signals wait for `sigwait`: a handler's
# signal that comes just before `pause` would be told of only with the next one.
TELLING = (
    "import signal\n"
    "told = {signal.SIGTERM: 'asked to end', signal.SIGWINCH: 'poked'}\n"
    "signal.pthread_sigmask(signal.SIG_BLOCK, told)\n"
    "print('ready', flush=True)\n"
    "while True: print(told[signal.sigwait(told)], flush=True)"
)
A_PARENT = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@contextmanager
def a_child(folder: Path, *code_and_arguments: str) -> Iterator[Child]:
    """Run Python code as a child of the stack, from its word `ready` on; its family is gone afterwards."""
    log = folder / "child.log"
    log.unlink(missing_ok=True)
    child = spawn(Launch([sys.executable, "-c", *code_and_arguments], folder), log)
    try:
        what_it_said(folder, until="ready")
        yield child
    finally:
        for one in family(child):
            kill(one)


def what_it_said(folder: Path, until: str) -> str:
    """Return what the folder's child said, once it said `until`."""
    deadline = monotonic() + 20
    while until not in (said := (folder / "child.log").read_text("utf-8")):
        assert monotonic() < deadline, said
        sleep(0.01)
    return said
