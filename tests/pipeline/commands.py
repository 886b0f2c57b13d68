"""The operators' commands, as they run them."""

import asyncio
import os
import sys
from dataclasses import dataclass

from typer.testing import CliRunner

from ops.cli import menu
from ops.refusal import Refusal
from tests.conftest import Installation
from tests.pipeline.installed import Counting


@dataclass(frozen=True)
class Ran:
    """What a command printed, and how it ended."""

    code: int
    said: str
    complained: str = ""


async def dead_letters(desk: Counting | Installation, *arguments: str, answer: str = "") -> Ran:
    """Run `chatdesk dead-letters` on an installation, within the test."""
    ran = await asyncio.to_thread(
        CliRunner().invoke,
        menu(),
        ["dead-letters", *arguments],
        input=answer,
        env={"CHATDESK_DATABASE_URL": desk.settings.database_url},
    )
    if isinstance(ran.exception, Refusal):
        return Ran(1, ran.stdout, f"{ran.exception}")
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return Ran(ran.exit_code, ran.stdout)


async def dead_letters_process(desk: Counting | Installation, *arguments: str) -> Ran:
    """Run `chatdesk dead-letters` as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from ops.cli import main; main()",
        "dead-letters",
        *arguments,
        env={**os.environ, "CHATDESK_DATABASE_URL": desk.settings.database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    return Ran(process.returncode or 0, said.decode(), complained.decode())
