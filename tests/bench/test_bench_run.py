import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.legs import LEGS

pytestmark = pytest.mark.long


def test_every_leg_does_its_work_on_servers_of_its_own_and_each_goal_is_judged(tmp_path: Path) -> None:
    sizes = ("--rounds", "1", "--messages", "4500", "--naive", "30")
    ran = subprocess.run(
        [sys.executable, "-m", "bench", *sizes, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [line.split()[0] for line in ran.stdout.strip().splitlines()[-2:]] == ["P1", "P2"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report["rounds"][0]) == set(LEGS)
    assert [goal["name"] for goal in report["goals"]] == ["P1", "P2"]


def test_a_large_desk_is_measured_against_a_small_one(tmp_path: Path) -> None:
    sizes = (
        "--rounds",
        "1",
        "--messages",
        "3000",
        "--stored",
        "2000",
        "--agents",
        "200",
        "--departments",
        "20",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "bench", "growth", *sizes, "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.strip().splitlines()[-1].startswith("P11 ")
    assert set(json.loads((tmp_path / "growth.json").read_text())["rounds"][0]) == {"small", "large"}


def test_two_processes_are_measured_beside_one(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "scale", "--rounds", "1"),
            *("--messages", "20000", "--out", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.strip().splitlines()[-1].startswith("P9 ")
    rounds = json.loads((tmp_path / "scale.json").read_text())["rounds"]
    assert 0 < rounds[0]["two"]["busy"] <= 1


def test_presence_is_measured_against_a_raw_loop_and_by_how_late_it_tells_a_loss(tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "presence", "--rounds", "1"),
            *("--heartbeats", "8000", "--out", str(tmp_path)),
        ],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [line.split()[0] for line in ran.stdout.strip().splitlines()[-2:]] == ["P6", "P6-loss"]
    (measured,) = json.loads((tmp_path / "presence.json").read_text())["rounds"]
    assert set(measured) == {"presence", "raw_leases", "loss"}
    assert measured["loss"]["late_seconds"] > 0, "nobody is lost before lease and grace are over"
