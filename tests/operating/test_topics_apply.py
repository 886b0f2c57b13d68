"""`chatdesk topics apply` on a real broker that has topics already."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from ops.stack import Addresses
from shared.contracts.catalogue import DEAD_LETTER_TOPICS, TOPICS
from tests.conftest import unique
from tests.operating.program import Program, installed

pytestmark = pytest.mark.servers

NOBODY = {
    "CHATDESK_DATABASE_URL": "postgresql://desk@127.0.0.1:1/desk",
    "CHATDESK_REDIS_URL": "redis://127.0.0.1:1",
}
"""Servers that `topics apply` has no use for, and that do not answer."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return installed(tmp_path_factory.mktemp("program"))


class Cluster:
    """A prefix of its own on the broker."""

    def __init__(self, admin: AIOKafkaAdminClient, kafka: str) -> None:
        self._admin = admin
        self.prefix = unique("apply-") + "."
        self.environment = {**NOBODY, "CHATDESK_KAFKA": kafka, "CHATDESK_TOPIC_PREFIX": self.prefix}

    async def has(self, name: str, partitions: int, **settings: str) -> None:
        wanted = NewTopic(
            self.prefix + name,
            partitions,
            1,
            topic_configs={name.replace("_", "."): value for name, value in settings.items()},
        )
        answer = await self._admin.create_topics([wanted])
        assert [code for _, code, _ in answer.topic_errors] == [0]

    async def partitions(self) -> dict[str, int]:
        return {
            one["topic"].removeprefix(self.prefix): len(one["partitions"])
            for one in await self._admin.describe_topics()
            if one["topic"].startswith(self.prefix)
        }

    async def clear(self) -> None:
        if there := await self.partitions():
            await self._admin.delete_topics([self.prefix + name for name in there])


@asynccontextmanager
async def a_cluster(kafka: str) -> AsyncIterator[Cluster]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    cluster = Cluster(admin, kafka)
    try:
        yield cluster
    finally:
        await cluster.clear()
        await admin.close()


@pytest.fixture
async def cluster(servers: Addresses) -> AsyncIterator[Cluster]:
    async with a_cluster(servers.kafka) as one:
        yield one


async def test_what_is_missing_is_created_and_no_other_server_is_asked(
    program: Program, cluster: Cluster
) -> None:
    ended = program("topics", "apply", "--partitions", "2", **cluster.environment)
    total = len(TOPICS) + len(DEAD_LETTER_TOPICS)
    assert (ended.code, ended.out) == (0, [f"{total} topics created, 0 were there"])
    again = program("topics", "apply", "--partitions", "2", **cluster.environment)
    assert (again.code, again.out) == (0, [f"0 topics created, {total} were there"])
    assert set((await cluster.partitions()).values()) == {2}


async def test_unfit_topics_are_named_one_a_line_and_nothing_is_created(
    program: Program, cluster: Cluster
) -> None:
    fit = {"max_message_bytes": "1100000"}
    await cluster.has("chats.v1", 4, **fit)
    await cluster.has("pairs.v1", 12, cleanup_policy="delete", **fit)
    await cluster.has("tickets.v1", 12, max_message_bytes="1000000")
    await cluster.has("deliveries.v1", 24, **fit)

    ended = program("topics", "apply", **cluster.environment)

    assert (ended.code, ended.out) == (1, [])
    assert sorted(line.removeprefix(cluster.prefix).partition(":")[0] for line in ended.err) == [
        "chats.v1 has 4 partitions, 12 are declared",
        "pairs.v1 has cleanup.policy=delete, compact is declared",
        "tickets.v1 has max.message.bytes=1000000, 1100000 is declared",
    ]
    assert set(await cluster.partitions()) == {"chats.v1", "pairs.v1", "tickets.v1", "deliveries.v1"}


async def test_a_topic_that_the_broker_does_not_make_is_told_with_its_reason(
    program: Program, cluster: Cluster
) -> None:
    ended = program("topics", "apply", "--replication", "9", **cluster.environment)
    assert ended.code == 1
    assert len(ended.err) == len(TOPICS) + len(DEAD_LETTER_TOPICS)
    assert all(" was not created: " in line and "replication factor" in line for line in ended.err)


def test_a_broker_that_does_not_answer_is_one_line(program: Program, tmp_path: Path) -> None:
    ended = program("topics", "apply", CHATDESK_KAFKA="127.0.0.1:1", CHATDESK_LOCAL=str(tmp_path))
    assert ended.code == 1
    (line,) = ended.err
    assert line.startswith("CHATDESK_KAFKA=127.0.0.1:1 does not answer: ")
