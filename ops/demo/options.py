"""What a run was asked to be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Seconds of traffic, messages a second, the seed of every choice; where logs and the report go.

    ``plain`` asks for lines on a terminal as well.
    """

    duration: float
    rate: float
    seed: int
    folder: Path
    report: Path
    plain: bool = False
