"""What the checker says of one invariant."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many cases of an invariant were looked at, and a sentence for each that broke it."""

    id: int
    name: str
    checked: int
    broken: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """An invariant of which no case was seen has not been shown to hold."""
        return self.checked > 0 and not self.broken
