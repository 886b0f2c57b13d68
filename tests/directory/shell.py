"""`chatdesk directory` as people run it, in an installation of the test's own."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from typer.testing import CliRunner

from ops.cli import menu
from tests.conftest import Installation


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    out: list[str]
    err: list[str]


@dataclass(frozen=True)
class Shell:
    """Runs the command in an installation, on files of the test's own folder."""

    installation: Installation
    folder: Path

    async def apply(self, file: Path, **environment: str) -> Answer:
        return await self.run("apply", str(file), **environment)

    async def run(self, *words: str, **environment: str) -> Answer:
        result = await asyncio.to_thread(
            CliRunner().invoke,
            menu(),
            ["directory", *words],
            env=self.installation.environment() | environment,
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Answer(result.exit_code, result.stdout.splitlines(), result.stderr.splitlines())

    def file(self, text: str) -> Path:
        path = self.folder / "tenant.yaml"
        path.write_text(text, encoding="utf-8")
        return path
