"""The published folder, judged by programs that know nothing of ours: AsyncAPI's own parser, and ajv."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ops.published import files
from shared.contracts.catalogue import DEAD_LETTER_TOPICS, TOPICS, types

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
SOURCE = Path(__file__).parent / "asyncapi"
BREACHES: dict[str, tuple[str, Callable[[str], str]]] = {
    "a message that is not there": (
        "asyncapi.yaml",
        lambda text: text.replace("#/components/messages/chatdesk.pair", "#/components/messages/none", 1),
    ),
    "a channel without an address it could have": (
        "asyncapi.yaml",
        lambda text: text.replace("address: pairs.v1", "address: [pairs.v1]", 1),
    ),
    "a schema that is none": (
        "schemas/chatdesk.pair.changed.v1.json",
        lambda text: text.replace('"type": "object"', '"type": "thing"', 1),
    ),
    "an example that its schema refuses": (
        "examples/chatdesk.pair.changed.v1.full.json",
        lambda text: text.replace('"acme"', "7", 1),
    ),
}


@dataclass(frozen=True)
class Verdict:
    faults: list[str]
    messages: int
    operations: int
    examples: int


@pytest.fixture(scope="module")
def judge() -> Callable[[Path], Verdict]:
    program = installed() / "validate.mjs"

    def judged(folder: Path) -> Verdict:
        done = subprocess.run(["node", program, folder], capture_output=True, text=True, check=False)
        if done.returncode:
            return Verdict([done.stderr], 0, 0, 0)
        return Verdict(**json.loads(done.stdout))

    return judged


def installed() -> Path:
    """Install what the lock file says, once for each state of it."""
    if shutil.which("npm") is None:
        pytest.skip("NOT RUN: AsyncAPI's parser needs Node.js 18 or later with npm on PATH")
    sources = [SOURCE / name for name in ("package.json", "package-lock.json", "validate.mjs")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    folder = ROOT / ".local" / "asyncapi-parser" / digest
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for path in sources:
            shutil.copy(path, folder)
        done = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"NOT RUN: npm could not install AsyncAPI's parser: {done.stderr[-300:]}")
        (folder / "installed").touch()
    return folder


def test_the_published_folder_has_no_fault(judge: Callable[[Path], Verdict]) -> None:
    verdict = judge(files.HOME)

    topics = (*TOPICS, *DEAD_LETTER_TOPICS)
    assert verdict == Verdict(
        faults=[],
        messages=len(types()),
        operations=sum(len(topic.says) + len(topic.hears) for topic in topics),
        examples=2 * len(types()),
    )


@pytest.mark.parametrize("name", BREACHES)
def test_the_judges_notice(name: str, judge: Callable[[Path], Verdict], tmp_path: Path) -> None:
    broken = shutil.copytree(files.HOME, tmp_path / "contracts")
    file, breach = BREACHES[name]
    text = (broken / file).read_text()
    (broken / file).write_text(breach(text))
    assert (broken / file).read_text() != text

    assert judge(broken).faults
