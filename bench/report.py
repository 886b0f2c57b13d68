"""What the measurements say: medians, spreads, and one line for each goal. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from bench.measured import Measured

NOISY = 2.0
"""A leg whose fastest round is so many times its slowest says nothing."""

BUSY = 0.9
"""Share of all cores' time from which a machine has nothing left to give."""

Round = Mapping[str, Measured]
Verdict = Literal["pass", "short", "noisy"]


@dataclass(frozen=True)
class Goal:
    """A figure to be reached, mostly a ratio: measured in each round, judged by the median unless said.

    ``bound`` is the least that will do; of a ``ceiling`` it is the most. Where ``saturating`` names a leg, it
    will do as well that this one keeps the machine's cores `BUSY`: then there is nothing left to gain.
    """

    name: str
    bound: float
    legs: tuple[str, ...]
    ratio: Callable[[Round], float]
    ceiling: bool = False
    saturating: str | None = None
    over_rounds: Callable[[Iterable[float]], float] = median

    def holds(self, value: float) -> bool:
        """Whether a value reaches the goal."""
        return value <= self.bound if self.ceiling else value >= self.bound


def composite_bound(one: Round) -> float:
    """Messages a second if Kafka, the rows and the codec took turns and nothing else had to be done."""
    return 1 / sum(1 / one[leg].rate for leg in ("kafka_loop", "rows", "codec"))


GOALS = (
    Goal(
        "P1",
        0.40,
        ("routing", "kafka_loop", "rows", "codec"),
        lambda one: one["routing"].rate / composite_bound(one),
    ),
    Goal("P2", 20, ("routing", "naive"), lambda one: one["routing"].rate / one["naive"].rate),
)

GROWTH_GOALS = (
    Goal(
        "P11",
        1.30,
        ("small", "large"),
        lambda one: one["large"].cpu_micros / one["small"].cpu_micros,
        ceiling=True,
    ),
)

SCALE_GOALS = (
    Goal("P9", 1.30, ("one", "two"), lambda one: one["two"].rate / one["one"].rate, saturating="two"),
)

PRESENCE_GOALS = (
    Goal(
        "P6",
        0.50,
        ("presence", "raw_leases"),
        lambda one: one["presence"].rate / one["raw_leases"].rate,
    ),
    # Seconds, not a ratio, and a promise to every agent: the latest of all rounds counts.
    Goal("P6-loss", 1.00, (), lambda one: one["loss"].late_seconds, ceiling=True, over_rounds=max),
)


@dataclass(frozen=True)
class Result:
    """A goal and what came of it; ``busy`` is the share of the cores that its saturating leg used."""

    goal: Goal
    value: float
    verdict: Verdict
    busy: float | None = None

    def line(self) -> str:
        """Say it in one line: ``P1 0.47 goal 0.40 pass``."""
        digits = 2 if self.goal.bound < 10 else 1  # noqa: PLR2004 - a taste
        most = "<= " if self.goal.ceiling else ""
        bound = f"{most}{self.goal.bound:.{digits}f}"
        cores = "" if self.busy is None else f" (cores {self.busy:.0%} busy)"
        return f"{self.goal.name} {self.value:.{digits}f} goal {bound} {self.verdict}{cores}"


def judge(goal: Goal, rounds: Sequence[Round]) -> Result:
    """Judge a goal by its ratio over the rounds; noisy when one of its legs is."""
    value = goal.over_rounds(goal.ratio(one) for one in rounds)
    busy = median(one[goal.saturating].busy for one in rounds) if goal.saturating else None
    if any(spread([one[leg] for one in rounds]) > NOISY for leg in goal.legs):
        return Result(goal, value, "noisy", busy)
    reached = goal.holds(value) or (busy is not None and busy >= BUSY)
    return Result(goal, value, "pass" if reached else "short", busy)


def spread(runs: Sequence[Measured]) -> float:
    """Return how many times the slowest run's rate the fastest one's is."""
    rates = [run.rate for run in runs]
    return max(rates) / min(rates)
