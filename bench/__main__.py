"""Run the benchmark: warm up, five interleaved rounds, one line for each goal, a JSON report."""

import argparse
import json
import logging
import os
import platform
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median

import uvloop
from rich.console import Console
from rich.table import Table

from bench import legs, sample, stage, workload
from bench.legs import LEGS, LegFailedError, Sizes
from bench.measured import Measured
from bench.report import GOALS, Result, Round, composite_bound, judge, spread
from ops.stack import Addresses, StackError

WARM_UP = 1_000
OUT = Path(".local/bench")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=Sizes.routing, help="new pairs for routing")
    parser.add_argument("--naive", type=int, default=Sizes.naive, help="new pairs for the naive service")
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the report")
    chosen = parser.parse_args()
    console = Console(soft_wrap=True)
    # Topics are minutes old at most: that a leader is not known yet is told and tried again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        with stage.servers() as addresses:
            rounds = uvloop.run(
                _run(addresses, chosen.rounds, Sizes(chosen.messages, chosen.messages, chosen.naive), console)
            )
    except (StackError, LegFailedError) as failure:
        console.print(f"bench: {failure}")
        sys.exit(1)
    results = [judge(goal, rounds) for goal in GOALS]
    console.print(_table(rounds))
    _write(chosen.out, rounds, results)
    console.print(f"load {_load()}, report in {chosen.out}/report.json")
    for result in results:
        console.print(result.line(), highlight=False)


async def _run(addresses: Addresses, count: int, sizes: Sizes, console: Console) -> list[Round]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sample.json"
        async with stage.desk(addresses) as settings:  # warms the servers and takes the sample
            await stage.publish(settings, workload.setting())
            await stage.publish(settings, workload.messages(WARM_UP))
            await legs.run_routing(settings, WARM_UP)
            sample.save(await sample.take(settings), path)
        rounds: list[Round] = []
        names = list(LEGS)
        for number in range(count):
            turn = number % len(names)
            measured: dict[str, Measured] = {}
            for name in names[turn:] + names[:turn]:
                measured[name] = await LEGS[name](addresses, sizes, path)
            rounds.append(measured)
            said = ", ".join(f"{name} {measured[name].rate:,.0f}/s" for name in names)
            console.print(f"round {number + 1}: {said} (load {_load()})", highlight=False)
        return rounds


def _table(rounds: list[Round]) -> Table:
    table = Table("leg", "messages/s", "min to max", "spread", "CPU µs a message")
    for name in LEGS:
        runs = [one[name] for one in rounds]
        rates = [run.rate for run in runs]
        table.add_row(
            name,
            f"{median(rates):,.0f}",
            f"{min(rates):,.0f} to {max(rates):,.0f}",
            f"{spread(runs):.2f}",
            f"{median(run.cpu_micros for run in runs):,.0f}",
        )
    table.add_row("composite bound", f"{median(map(composite_bound, rounds)):,.0f}", "", "", "")
    return table


def _write(folder: Path, rounds: list[Round], results: list[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()},
        "rounds": [{name: asdict(run) for name, run in one.items()} for one in rounds],
        "goals": [
            {
                "name": result.goal.name,
                "value": result.value,
                "least": result.goal.least,
                "verdict": result.verdict,
                "ratios": [result.goal.ratio(one) for one in rounds],
            }
            for result in results
        ],
    }
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}"


if __name__ == "__main__":
    main()
