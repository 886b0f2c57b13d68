"""The import law is executable; here each of its contracts is broken on purpose and seen to notice."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

BREACHES = {
    "Services and operators stand on shared, never the reverse": (
        "shared/platform/settings.py",
        "import services.routing.model",
    ),
    "The platform stands on the contracts": ("shared/contracts/pair.py", "import shared.platform.records"),
    "Services share no code but the project's shared package": (
        "services/tickets/model.py",
        "import services.routing.model",
    ),
    "Rooms import downwards only": (
        "services/routing/store/chats.py",
        "import services.routing.decisions.choice",
    ),
    "Decisions, models and contracts know no I/O, no clock and no chance": (
        "services/routing/decisions/choice.py",
        "import random",
    ),
    "Settings are read by wiring alone": (
        "services/presence/handlers.py",
        "import services.presence.settings",
    ),
    "Only the platform and app.py know FastStream": ("services/tickets/handlers.py", "import faststream"),
    "Operators call on services' app, settings and migrations only": (
        "ops/serving.py",
        "import services.routing.handlers",
    ),
}


def lint(tree: Path) -> tuple[dict[str, str], str]:
    """Return each contract's verdict, and the whole report."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    report = done.stdout + done.stderr
    return dict(re.findall(r"^(.*\S) (KEPT|BROKEN)", report, flags=re.MULTILINE)), report


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("services", "shared", "ops"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_the_law_is_kept(tree: Path) -> None:
    verdicts, report = lint(tree)
    assert verdicts == dict.fromkeys(BREACHES, "KEPT"), report


def test_every_contract_notices_its_breach(tree: Path) -> None:
    for path, breach in BREACHES.values():
        file = tree / path
        file.write_text(f"{breach}\n{file.read_text()}")
    verdicts, report = lint(tree)
    assert verdicts == dict.fromkeys(BREACHES, "BROKEN"), report


@pytest.mark.parametrize(
    "code",
    [
        "import datetime\n\nNOW = datetime.datetime.now(datetime.UTC)\n",
        "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n",
        "import uuid\n\nNAME = uuid.uuid4()\n",
        "from random import random\n",
        "from unittest.mock import patch\n",
    ],
)
def test_clock_and_chance_are_banned_outside_the_clock(code: str) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    done = subprocess.run(
        [ruff, "check", "--select", "TID251", "--stdin-filename", "services/routing/model.py", "-"],
        cwd=ROOT,
        input=code,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "TID251" in done.stdout
