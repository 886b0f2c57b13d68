"""The command line as installed: a copy of the program without a checkout around it, run on its own."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT

_SECONDS = 180
_MAIN = "from ops.cli import main; main()"
NEXT_REVISION = """
from alembic import op

revision = "0999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create table of_the_next_version (id int)")


def downgrade() -> None:
    op.execute("drop table of_the_next_version")
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and the lines it said."""

    code: int
    out: list[str]
    err: list[str]


@dataclass(frozen=True)
class Program:
    """One version of the program, in a folder of its own."""

    folder: Path

    def __call__(self, *arguments: str, **environment: str) -> Ended:
        """Run it with these settings and no others, bounded."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("CHATDESK_")}
        answer = subprocess.run(
            [sys.executable, "-c", _MAIN, *arguments],
            check=False,
            cwd=self.folder,
            env={**ours, "PYTHONPATH": str(self.folder), "NO_COLOR": "1", **environment},
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
        return Ended(answer.returncode, answer.stdout.splitlines(), answer.stderr.splitlines())


def installed(folder: Path) -> Program:
    """Copy the program there."""
    for package in ("ops", "services", "shared"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    return Program(folder)


def next_version(folder: Path, service: str) -> Program:
    """Copy the program there, with one more migration of a service."""
    program = installed(folder)
    versions = folder / "services" / service / "migrations" / "versions"
    head = max(path.name for path in versions.glob("*.py")).partition("_")[0]
    (versions / "0999_next.py").write_text(NEXT_REVISION.format(head=head), "utf-8")
    return program


def demanding(folder: Path, postgres: int) -> Program:
    """Copy the program there, as one that needs this version of PostgreSQL."""
    program = installed(folder)
    source = folder / "shared/platform/migrations.py"
    told = source.read_text("utf-8")
    assert "OLDEST_POSTGRES = 15\n" in told
    source.write_text(told.replace("OLDEST_POSTGRES = 15\n", f"OLDEST_POSTGRES = {postgres}\n"), "utf-8")
    return program
