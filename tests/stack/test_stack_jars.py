import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ops.stack import jars
from ops.stack.errors import StackError
from ops.stack.kinds import quietly

JAR = b"what the jar holds"


class Maven(ThreadingHTTPServer):
    """A Maven repository on loopback that has one jar and counts who asks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.content = JAR
        self.paths: list[str] = []


class Asked(BaseHTTPRequestHandler):
    server: Maven

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def maven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Maven]:
    with Maven() as server:
        threading.Thread(target=server.serve_forever, args=[0.01]).start()
        monkeypatch.setenv("CHATDESK_MAVEN_URL", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield server
        server.shutdown()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "jars.lock"
    file.write_text(f'[kafka]\n"org/some/1/some-1.jar" = "{sha256(JAR).hexdigest()}"\n', "utf-8")
    return file


def test_a_jar_is_fetched_once_and_kept(maven: Maven, lock: Path) -> None:
    (first,) = jars.fetch("kafka", quietly, lock=lock)
    (second,) = jars.fetch("kafka", quietly, lock=lock)
    assert first == second
    assert first.read_bytes() == JAR
    assert maven.paths == ["/org/some/1/some-1.jar"]


def test_a_jar_that_is_not_the_pinned_one_is_refused_and_leaves_nothing(maven: Maven, lock: Path) -> None:
    maven.content = b"something else"
    with pytest.raises(StackError, match="is pinned"):
        jars.fetch("kafka", quietly, lock=lock)
    assert not [file for file in jars.cache().rglob("*") if file.is_file()]


def test_a_repository_that_does_not_answer_is_named_with_the_way_around(
    maven: Maven, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATDESK_MAVEN_URL", "http://127.0.0.1:1")
    with pytest.raises(StackError, match=r"cannot fetch http://127\.0\.0\.1:1/org.*CHATDESK_MAVEN_URL"):
        jars.fetch("kafka", quietly, lock=lock)
    assert maven.paths == []


def test_everything_the_stack_takes_is_pinned_and_of_one_kafka() -> None:
    pinned = jars.pinned("kafka") | jars.pinned("redis")
    assert all(len(digest) == 64 for digest in pinned.values())
    assert len({path.split("/")[4] for path in pinned if path.startswith("org/apache/kafka/")}) == 1
