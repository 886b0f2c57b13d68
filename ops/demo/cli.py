"""`chatdesk demo`: the main job on show."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.demo.installation import SetupFailedError, installation
from ops.demo.options import Options
from ops.demo.run import Run
from ops.demo.services import ServiceFailedError
from ops.demo.show import best_show
from ops.demo.telling import WIDTH, Teller
from ops.stack import Addresses, StackError, ensure_up
from shared.platform.clock import Clock, SystemClock

DURATION, RATE, SEED = 60.0, 50.0, 7
_INTERRUPTED = 130


def demo(
    *,
    duration: Annotated[float, typer.Option(min=5, max=3600, help="Seconds of traffic.")] = DURATION,
    rate: Annotated[float, typer.Option(min=5, max=2000, help="Customers' messages a second.")] = RATE,
    seed: Annotated[int, typer.Option(help="Of every choice that customers and agents make.")] = SEED,
    report: Annotated[Path | None, typer.Option(help="Where to write the JSON report.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave database and topics to look into.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Print lines, on a terminal as well.")] = False,
) -> None:
    """Run a contact centre on the real stack for a minute, then check the ten invariants."""
    teller = Teller(_console())
    clock = SystemClock()
    name = f"demo_{clock.now():%Y%m%d_%H%M%S}_{os.getpid()}"
    folder = _local() / "demo" / name
    folder.mkdir(parents=True)
    # A library's complaint must not scroll the picture away.
    logging.basicConfig(filename=folder / "demo.log", level=logging.WARNING)
    options = Options(duration, rate, seed, folder, report or folder / "report.json", plain)
    try:
        addresses = ensure_up(teller.say)
        holds = asyncio.run(_demo(options, addresses, name, teller, clock, keep=keep))
    except (StackError, SetupFailedError, ServiceFailedError) as error:
        teller.say(str(error), "bold red")
        raise typer.Exit(1) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        teller.say("interrupted: the services are stopped, and nothing of the run is left but its logs")
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(0 if holds else 1)


async def _demo(
    options: Options, addresses: Addresses, name: str, teller: Teller, clock: Clock, *, keep: bool
) -> bool:
    _end_well_when_told()
    for line in addresses.chosen:
        teller.say(line)
    teller.say(f"seed {options.seed}: {options.rate:g} messages a second for {options.duration:g} seconds")
    teller.say(f"creating topics, database and schemas of {name}")
    async with installation(addresses, name) as here:
        here.keep = keep
        show = best_show(teller.console, teller, plain=options.plain)
        run = Run(options, here, teller, show, clock)
        holds = await run.carry_out()
        if here.keep:
            teller.say(f"database {name} and topics {here.settings.topic_prefix}* are kept to look into")
    teller.say("the servers keep running, so the next run starts at once; `make down` stops them")
    teller.say(run.summary, "bold green" if holds else "bold red")
    return holds


def _end_well_when_told() -> None:
    """Let the end of the terminal, or a plain kill, do what Ctrl-C does: stop the services, leave nothing."""
    running = asyncio.current_task()
    if running is not None:
        for told in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(told, running.cancel)


def _console() -> Console:
    """Return a console that is 80 columns wide wherever no terminal says otherwise."""
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def _local() -> Path:
    """Return the git-ignored folder of this checkout, where the stack keeps its own."""
    given = os.environ.get("CHATDESK_LOCAL")
    checkout = Path(__file__).resolve().parents[2]
    root = checkout if (checkout / "pyproject.toml").exists() else Path.cwd()
    return Path(given) if given else root / ".local"
