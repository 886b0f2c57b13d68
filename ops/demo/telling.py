"""What the demo prints: progress lines, the verdicts, the figures and the last line. Fits 80 columns."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ops.checker import Verdict
from ops.demo.figures import Figures, Happened
from ops.demo.picture import Picture

WIDTH = 80
HEAD_EVERY = 20
TAKEN = ("accepted", "sent", "delivered", "read", "played")
"""Words on a delivery that mean that the provider has it."""
_NO_TENTHS = 10
_STOOD_STILL_MS = 10_000
"""Longer than a batch is ever tried without a fault; the demo breaks nothing."""
MOST_SHOWN = 5
"""Broken cases printed of each invariant; the report has them all."""
_HEAD = (
    "       messages │       chats       │ tickets │    sends     │ agents │  p99 lag",
    " time    in  /s │ held queue closed │    open │   ok refused │ online │   ms   s",
)


class Teller:
    """Prints to a console, with colours where it has them."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._lines = 0

    def say(self, line: str, style: str = "") -> None:
        """Print one line."""
        self.console.print(Text(line, style=style), soft_wrap=True)

    def progress(self, picture: Picture) -> None:
        """Print one line of figures, with a head above it every now and then."""
        if self._lines % HEAD_EVERY == 0:
            for head in _HEAD:
                self.say(head, "bold")
        self._lines += 1
        self.say(progress_line(picture))

    def happening(self, seconds: float, what: str) -> None:
        """Print what somebody did."""
        self.say(f"{_clock(seconds)}  · {what}", "dim")

    def waiting(self, what: str) -> None:
        """Print what is still waited for."""
        self.say(f"  · {what}", "dim")

    def verdicts(self, verdicts: Sequence[Verdict]) -> None:
        """Print each invariant with its counts, and below it what broke it."""
        table = Table(box=None, width=WIDTH, pad_edge=False, header_style="bold")
        table.add_column("", justify="right")
        table.add_column("invariant")
        table.add_column("checked", justify="right")
        table.add_column("broken", justify="right")
        for one in verdicts:
            style = "" if one.holds else "bold red"
            table.add_row(str(one.id), one.name, f"{one.checked:,}", str(len(one.broken)), style=style)
        self.console.print(table)
        for one in verdicts:
            for sentence in one.broken[:MOST_SHOWN]:
                self.say(f"  {one.id}: {sentence}", "red")
            if len(one.broken) > MOST_SHOWN:
                self.say(f"  {one.id}: … and {len(one.broken) - MOST_SHOWN} more, in the report", "red")
            if not one.checked:
                self.say(f"  {one.id}: not one case was seen, so nothing was shown", "red")

    def figures(self, found: Figures, happened: Happened) -> None:
        """Print what the run amounted to, and what occurred in it."""
        self.say(
            f"seen: {happened.duplicates} duplicates, {happened.refusals} refusals"
            f" ({happened.refused_outside_window} outside the window), {happened.diverts} diverts,"
        )
        self.say(
            f"      {happened.lost_agents} lost agents, {happened.in_doubt} messages in doubt,"
            f" {happened.dead_letters} dead letters"
        )
        for what in happened.missing():
            self.say(f"      but never {what}, so this run shows too little", "bold red")
        self.say(f"messages a second      {found.messages_per_second:8.1f}")
        if found.latency is not None:
            self.say(
                f"message to assignment  {found.latency.p50:8.0f} ms p50,{found.latency.p99:6.0f} ms p99"
                f"  ({found.latency.count} chats)"
            )
        if found.longest_ms is not None:
            style = "bold red" if found.longest_ms > _STOOD_STILL_MS else ""
            self.say(f"message to its chat    {found.longest_ms:8.0f} ms at the longest", style)
        if found.cpu_us_per_message is not None and found.cpu_us_above_idling is not None:
            self.say(
                f"routing's processor    {found.cpu_us_per_message:8.0f} µs a message,"
                f" {found.cpu_us_above_idling:.0f} of them above idling"
            )


def progress_line(picture: Picture) -> str:
    """Return one line: the centre at a moment."""
    deliveries = dict(picture.deliveries)
    taken = sum(deliveries.get(word, 0) for word in TAKEN)
    refused = sum(count for _, _, count in picture.refusals)
    online = sum(agent.state in {"online", "draining"} for agent in picture.agents)
    p99 = "-" if picture.latency is None else f"{picture.latency.p99:.0f}"
    lag = "-" if picture.lag is None else f"{picture.lag:.{0 if picture.lag >= _NO_TENTHS else 1}f}"
    return (
        f"{_clock(picture.moment.seconds)}{picture.messages:6d}{picture.rate:4d} │"
        f"{picture.chats_in('assigned'):5d}{picture.chats_in('queued'):6d}{picture.chats_in('closed'):7d} │"
        f"{sum(count for _, count in picture.open_tickets):8d} │"
        f"{taken:5d}{refused:8d} │{online:7d} │{p99:>5}{lag:>4}"
    )


def last_line(found: Figures, verdicts: Sequence[Verdict]) -> str:
    """Return the line that says it all; an invariant without cases counts as broken."""
    broken = sum(not one.holds for one in verdicts)
    return (
        f"demo: {found.messages} messages, {found.chats} chats, {found.tickets} tickets,"
        f" {len(verdicts)} invariants checked, {broken} broken"
    )


def report(
    asked: Mapping[str, Any], verdicts: Sequence[Verdict], found: Figures, happened: Happened
) -> dict[str, Any]:
    """Return the run as JSON has it; ``asked`` is what it was started with."""
    return {
        **asked,
        "figures": asdict(found),
        "happened": asdict(happened),
        "invariants": [
            {
                "id": one.id,
                "name": one.name,
                "checked": one.checked,
                "broken": len(one.broken),
                "cases": one.broken,
            }
            for one in verdicts
        ],
    }


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:2d}:{int(seconds) % 60:02d}"
