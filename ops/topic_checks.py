"""Are a cluster's topics fit for the catalogue? What is found and what is declared, compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from ops.contracts import broker_settings
from ops.refusal import Refusal
from shared.contracts.topics import Topic

JUDGED = ("cleanup.policy", "max.message.bytes")
"""The settings that a service relies on. How long records are kept is the installation's choice."""


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as the cluster has it. ``settings`` is empty where nobody asked for them."""

    partitions: int
    settings: Mapping[str, str] = field(default_factory=dict)


async def look(admin: AIOKafkaAdminClient) -> dict[str, Found]:
    """Return every topic of the cluster by its full name; asking for all creates none."""
    return {one["topic"]: Found(len(one["partitions"])) for one in await admin.describe_topics()}


async def look_closely(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Found]:
    """Return those of these topics that are there, with their settings."""
    there = {name: found for name, found in (await look(admin)).items() if name in names}
    if not there:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, configs=dict.fromkeys(JUDGED)) for name in there]
    for answer in await admin.describe_configs(wanted):
        for code, reason, _kind, name, entries in answer.resources:
            if code:
                raise Refusal(f"{name}: its settings cannot be read: {reason or for_code(code).__name__}")
            settings = {entry[0]: entry[1] for entry in entries}
            there[name] = Found(there[name].partitions, settings)
    return there


def faults(
    topics: Iterable[Topic], found: Mapping[str, Found], prefix: str, partitions: int | None
) -> list[str]:
    """Name each topic that is there and unfit: what it is, what is declared, what to do.

    ``partitions`` is what the installation chose in place of the catalogue's number: more than that is fine,
    fewer is not.
    """
    judged = [(prefix + topic.name, topic) for topic in topics]
    return [
        fault
        for name, topic in judged
        if name in found
        for fault in _faults(name, topic, found[name], partitions)
    ]


def missing(topics: Iterable[Topic], found: Mapping[str, Found], prefix: str) -> list[str]:
    """Return the full names of the topics that are not there."""
    return [prefix + topic.name for topic in topics if prefix + topic.name not in found]


def _faults(name: str, topic: Topic, found: Found, partitions: int | None) -> list[str]:
    told = []
    least = min(topic.partitions, partitions or topic.partitions)
    if found.partitions < least:
        told.append(
            f"{name} has {_count(found.partitions)}, {least} are declared: stop the services when they"
            f" have read everything, then `kafka-topics.sh --alter --topic {name} --partitions {least}`;"
            " where fewer are meant, CHATDESK_TOPIC_PARTITIONS says so to every command"
        )
    declared = broker_settings(topic)
    policy = found.settings.get("cleanup.policy")
    if policy is not None and policy != declared["cleanup.policy"]:
        told.append(_setting(name, "cleanup.policy", policy, declared["cleanup.policy"]))
    largest = found.settings.get("max.message.bytes")
    if largest is not None and int(largest) < int(declared["max.message.bytes"]):
        told.append(_setting(name, "max.message.bytes", largest, declared["max.message.bytes"]))
    return told


def _setting(name: str, setting: str, value: str, declared: str | int) -> str:
    return (
        f"{name} has {setting}={value}, {declared} is declared:"
        f" `kafka-configs.sh --alter --topic {name} --add-config {setting}={declared}`"
    )


def _count(partitions: int) -> str:
    return f"{partitions} partition" + ("" if partitions == 1 else "s")
