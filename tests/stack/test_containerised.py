"""`TEST_SERVERS`: a run of tests brings up its own containers, or says loudly that it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.stack.engine import Engine
from ops.stack.stack import KINDS

ROOT = Path(__file__).parents[2]
A_TEST_OF_SERVERS = "tests/pipeline/test_repeats.py"
LABEL = "label=chatdesk.tests"


def a_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest as a person would: without what this run was told of itself."""
    ours = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHATDESK_"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=ours | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def of_tests() -> set[str]:
    told = subprocess.run(
        ["docker", "ps", "--all", "--quiet", "--filter", LABEL], capture_output=True, text=True, check=True
    )
    return set(told.stdout.split())


def test_without_an_engine_the_run_ends_at_once_and_says_why(tmp_path: Path) -> None:
    run = a_run(A_TEST_OF_SERVERS, TEST_SERVERS="containers", DOCKER_HOST=f"unix://{tmp_path}/nobody.sock")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "NOT RUN: no Docker engine runs the servers: " in run.stderr
    assert run.stdout.strip() == ""


def test_servers_that_nobody_knows_are_refused() -> None:
    run = a_run(A_TEST_OF_SERVERS, TEST_SERVERS="conainers")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "TEST_SERVERS is `containers` or nothing, not 'conainers'" in run.stderr


@pytest.mark.long
def test_two_workers_share_the_containers_and_leave_none() -> None:
    engine = Engine()
    lacking = [kind.box.image for kind in KINDS.values() if engine.silence or not engine.has(kind.box.image)]
    if lacking:
        pytest.skip(f"NOT RUN: no Docker engine has {', '.join(lacking)}; start one, and pull them")
    before = of_tests()
    run = a_run("-v", "-n", "2", A_TEST_OF_SERVERS, TEST_SERVERS="containers")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "servers: containers of this run's own" in run.stdout
    assert of_tests() == before
