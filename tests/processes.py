"""Services as processes of their own, so that they can be stopped and killed like in production."""

import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from ops.stack import ports

READY_SECONDS = 30.0
STOP_SECONDS = 30.0
_asked = itertools.count()


def free_port() -> int:
    """Return a port that nobody listens on right now, and that no outgoing connection is given meanwhile."""
    return ports.free_port(f"{os.getpid()} {next(_asked)}")


class ServiceProcess:
    """One service, run by `chatdesk run`, with its log in a file of its own."""

    def __init__(self, service: str, environment: dict[str, str]) -> None:
        self.service = service
        self.port = free_port()
        self._log = Path(tempfile.mkstemp(prefix=f"chatdesk-{service}-", suffix=".log")[1])
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command(), env={**os.environ, **environment}, stdout=log, stderr=subprocess.STDOUT
            )

    def command(self) -> list[str]:
        """Return what runs it."""
        run = "from ops.cli import main; main()"
        return [sys.executable, "-c", run, "run", self.service, "--port", str(self.port)]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def get(self, path: str) -> tuple[int, str]:
        """Ask one of its health routes; status 0 when it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until_ready(self) -> "ServiceProcess":
        """Wait until the service is ready. Raises TimeoutError with its log when it does not get there."""
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"{self.service} ended with {self._process.returncode}:\n{self.log[-3000:]}"
                )
            status, _ = self.get("/readyz")
            if status == 200:
                return self
            time.sleep(0.05)
        raise TimeoutError(f"{self.service} is not ready: {self.get('/readyz')}\n{self.log[-3000:]}")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """Ask it to stop and wait; kill what does not. Returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._process.returncode

    def metric(self, name: str) -> float:
        """Sum a metric over its labels."""
        lines = self.get("/metrics")[1].splitlines()
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in lines if line.split("{")[0].split(" ")[0] == name
        )

    def checks(self) -> dict[str, bool]:
        """Return what `/readyz` says in detail."""
        answer: dict[str, bool] = json.loads(self.get("/readyz")[1])["checks"]
        return answer
