"""One measurement: so many messages in so many seconds, and the CPU time of who did it."""

import json
import sys
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Measured:
    """One run of one leg. ``cpu_seconds`` is of the measured processes, not of the servers."""

    messages: int
    seconds: float
    cpu_seconds: float
    busy: float = 0.0
    """Share of all cores' time in which anybody used them, 0 to 1; 0 where it was not looked at."""
    late_seconds: float = 0.0
    """How late the latest of them was; 0 where it was not looked at."""

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds

    @property
    def cpu_micros(self) -> float:
        """CPU microseconds a message."""
        return self.cpu_seconds / self.messages * 1e6


def tell(measured: Measured) -> None:
    """Print a measurement as the last line of a baseline's process."""
    sys.stdout.write(json.dumps(asdict(measured)) + "\n")


def told(output: str) -> Measured:
    """Read the measurement that a baseline's process printed last."""
    return Measured(**json.loads(output.strip().splitlines()[-1]))
