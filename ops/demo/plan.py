"""What will be written during a run, and when: everything follows from the seed, all times from the start."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from random import Random  # noqa: TID251 - the demo plays customers; the services draw no lots

from ops.demo.centre import BILLING_LINE, FIRST_LINE

REPEATED_SHARE = 0.02
LATE_SHARE = 0.02
DISORDERED_SHARE = 0.03
BILLING_SHARE = 0.12
HELP_SHARE = 0.5
MOST_IN_A_BURST = 5
MEAN_BURST = (1 + MOST_IN_A_BURST) / 2
WAVE_SECONDS = 12.0
"""Customers come in waves of this length, from a third to five thirds of the rate."""
WAVE_HEIGHT = 0.65
A_DAY = 24 * 3600.0
OLD_CUSTOMERS = 4
"""Of each kind: last heard 23 h 59 min ago, and 25 h ago."""
STILL_OPEN = A_DAY - 60.0
LONG_CLOSED = A_DAY + 3600.0

_QUESTIONS = (
    "hello, is anybody there?",
    "what does delivery to Durban cost?",
    "do you have it in green?",
    "and in a size 42?",
    "my order 4711 has not come",
    "thanks!",
    "one more thing…",
    "¿hablan español?",
    "ok 👍",
)
_HELP = ("please help me", "help, it does not start", "I need help with my account")


@dataclass(frozen=True, slots=True)
class Repeat:
    """A message that its publisher sends again: the same event, or another about the same message."""

    after: float
    same_event: bool


@dataclass(frozen=True, slots=True)
class Write:
    """A customer's message, published ``at`` and sent ``before`` that, by its provider's clock. Seconds."""

    at: float
    customer: str
    business_address: str
    message_id: str
    text: str
    before: float = 0.0
    repeat: Repeat | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Every message of a run, in the order of publication, and who has not been heard for long."""

    writes: tuple[Write, ...]
    long_ago: frozenset[str] = field(default_factory=frozenset)
    """Customers whose window is closed when they are answered."""


def plan(seed: int, rate: float, duration: float) -> Plan:
    """Plan about ``rate`` messages a second for ``duration`` seconds."""
    dice = Random(f"customers/{seed}")  # noqa: S311 - reproducible on purpose
    bursts = list(_bursts(dice, rate, duration))
    customers = max(200, len(bursts) // 2)
    pool = [_number(dice, n) for n in range(customers)]
    writes = [write for at in bursts for write in _burst(dice, at, dice.choice(pool), duration)]
    open_still, long_closed = (
        [_number(dice, customers + kind * OLD_CUSTOMERS + n) for n in range(OLD_CUSTOMERS)] for kind in (0, 1)
    )
    writes += [_old(dice, customer, STILL_OPEN) for customer in open_still]
    writes += [_old(dice, customer, LONG_CLOSED) for customer in long_closed]
    # However short a run, somebody writes to a closed department, and somebody's message comes twice.
    late_bill = Write(0.5, _number(dice, customers + 2 * OLD_CUSTOMERS), BILLING_LINE, "", "my bill?")
    writes.append(replace(late_bill, repeat=Repeat(after=1.0, same_event=True)))
    writes.sort(key=lambda write: write.at)
    named = (replace(write, message_id=f"wamid.demo-{seed}-{n}") for n, write in enumerate(writes))
    return Plan(tuple(named), frozenset(long_closed))


def _bursts(dice: Random, rate: float, duration: float) -> Iterator[float]:
    """Yield when bursts begin: by chance, more of them on the crest of a wave."""
    highest = rate / MEAN_BURST * (1 + WAVE_HEIGHT)
    at = 0.0
    while (at := at + dice.expovariate(highest)) < duration:
        wave = 1 + WAVE_HEIGHT * math.sin(2 * math.pi * at / WAVE_SECONDS)
        if dice.random() < wave / (1 + WAVE_HEIGHT):
            yield at


def _burst(dice: Random, at: float, customer: str, duration: float) -> Iterator[Write]:
    """Yield one to five messages of a customer within a second or two."""
    # A customer writes to the same number and about the same thing, so that their pairs stay few.
    kind = Random(customer)  # noqa: S311 - as above
    to_billing, asks_help = kind.random() < BILLING_SHARE, kind.random() < HELP_SHARE
    for n in range(dice.randint(1, MOST_IN_A_BURST)):
        text = dice.choice(_HELP) if asks_help and n == 0 else dice.choice(_QUESTIONS)
        yield Write(
            at=at,
            customer=customer,
            business_address=BILLING_LINE if to_billing else FIRST_LINE,
            message_id="",
            text=text,
            before=_sent_before(dice),
            repeat=_repeat(dice),
        )
        at = min(duration, at + dice.uniform(0.02, 0.6))


def _sent_before(dice: Random) -> float:
    """Most are published as they are sent, a few long after, and a few behind a later one."""
    draw = dice.random()
    if draw < LATE_SHARE:
        return dice.uniform(10.0, 600.0)
    return dice.uniform(1.0, 5.0) if draw < LATE_SHARE + DISORDERED_SHARE else dice.uniform(0.0, 0.2)


def _repeat(dice: Random) -> Repeat | None:
    if dice.random() >= REPEATED_SHARE:
        return None
    return Repeat(after=dice.uniform(0.0, 2.0), same_event=dice.random() < 0.5)  # noqa: PLR2004 - half


def _old(dice: Random, customer: str, before: float) -> Write:
    """A message that took most of a day to arrive; it is answered while the agents are still fresh."""
    return Write(dice.uniform(0.5, 3.0), customer, FIRST_LINE, "", "are you there?", before)


def _number(dice: Random, n: int) -> str:
    """Return a customer's number, as providers write them; another for each ``n``."""
    return f"+2782{n:04d}{dice.randint(0, 999):03d}"
