"""Run the benchmark: warm up, five interleaved rounds, one line for each goal, a JSON report.

`python -m bench growth` measures P11 instead, on desks of two sizes; `python -m bench scale` P9, with two
processes; `python -m bench presence` P6, on heartbeats.
"""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from bench import growth, legs, presence, sample, scale, stage, workload
from bench.legs import LEGS, LegFailedError, Sizes
from bench.measured import Measured
from bench.report import (
    GOALS,
    GROWTH_GOALS,
    PRESENCE_GOALS,
    SCALE_GOALS,
    Result,
    Round,
    composite_bound,
    judge,
    spread,
)
from ops.stack import Addresses, StackError

WARM_UP = 1_000
OUT = Path(".local/bench")
SUITES = {"throughput": GOALS, "growth": GROWTH_GOALS, "scale": SCALE_GOALS, "presence": PRESENCE_GOALS}


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=list(SUITES), default="throughput")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=Sizes.routing, help="new pairs for routing")
    parser.add_argument("--naive", type=int, default=Sizes.naive, help="new pairs for the naive service")
    large = growth.LARGE
    parser.add_argument("--stored", type=int, default=large.chats, help="chats of the large desk")
    parser.add_argument("--agents", type=int, default=large.agents, help="agents of the large desk")
    parser.add_argument("--departments", type=int, default=large.departments, help="departments of it")
    parser.add_argument("--heartbeats", type=int, default=presence.HEARTBEATS, help="waiting for presence")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    chosen = parser.parse_args()
    console = Console(soft_wrap=True)
    # Topics are minutes old at most: that a leader is not known yet is told and tried again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with stage.servers() as addresses:
            rounds = uvloop.run(_run(addresses, chosen, console))
    except (StackError, LegFailedError) as failure:
        console.print(f"bench: {failure}")
        sys.exit(1)
    results = [judge(goal, rounds) for goal in SUITES[chosen.suite]]
    console.print(_table(rounds))
    report = chosen.out / ("report.json" if chosen.suite == "throughput" else f"{chosen.suite}.json")
    _write(report, rounds, results)
    console.print(f"load {_load()}, report in {report}")
    for result in results:
        console.print(result.line(), highlight=False)


async def _run(addresses: Addresses, chosen: argparse.Namespace, console: Console) -> list[Round]:
    if chosen.suite == "growth":
        large = growth.Desk(chosen.stored, chosen.agents, chosen.departments)
        async with growth.legs(addresses, large, chosen.messages) as found:
            return await _rounds(found, chosen.rounds, console)
    if chosen.suite == "scale":
        return await _rounds(scale.legs(addresses, chosen.messages), chosen.rounds, console)
    if chosen.suite == "presence":
        return await _rounds(presence.legs(addresses, chosen.heartbeats), chosen.rounds, console)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.json"
        async with stage.desk(addresses) as settings:  # warms the servers and takes the sample
            await stage.publish(settings, workload.setting())
            await stage.publish(settings, workload.messages(WARM_UP))
            await legs.run_routing(settings, WARM_UP)
            sample.save(await sample.take(settings), path)
        sizes = Sizes(chosen.messages, chosen.messages, chosen.naive)
        every = {name: partial(leg, addresses, sizes, path) for name, leg in LEGS.items()}
        return await _rounds(every, chosen.rounds, console)


async def _rounds(
    every: Mapping[str, Callable[[], Awaitable[Measured]]], count: int, console: Console
) -> list[Round]:
    """Run every leg in each round, in rotated order."""
    rounds: list[Round] = []
    names = list(every)
    for number in range(count):
        turn = number % len(names)
        measured = {name: await every[name]() for name in names[turn:] + names[:turn]}
        rounds.append(measured)
        said = ", ".join(f"{name} {measured[name].rate:,.0f}/s" for name in names)
        console.print(f"round {number + 1}: {said} (load {_load()})", highlight=False)
    return rounds


def _table(rounds: list[Round]) -> Table:
    table = Table("leg", "messages/s", "min to max", "spread", "CPU µs a message")
    for name in rounds[0]:
        runs = [one[name] for one in rounds]
        rates = [run.rate for run in runs]
        table.add_row(
            name,
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{spread(runs):.2f}",
            f"{median(run.cpu_micros for run in runs):,.0f}",
        )
    if LEGS.keys() <= rounds[0].keys():
        table.add_row("composite bound", f"{median(map(composite_bound, rounds)):,.0f}", "", "", "")
    return table


def _write(path: Path, rounds: list[Round], results: list[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()},
        "rounds": [{name: asdict(run) for name, run in one.items()} for one in rounds],
        "goals": [
            {
                "name": result.goal.name,
                "value": result.value,
                "bound": result.goal.bound,
                "verdict": result.verdict,
                "ratios": [result.goal.ratio(one) for one in rounds],
            }
            for result in results
        ],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
