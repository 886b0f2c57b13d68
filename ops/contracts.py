"""Files that are written from the catalogue of contracts, so that nobody has to keep them true by hand."""

from typing import Any

import yaml

from shared.contracts.catalogue import DEAD_LETTER_TOPICS, TOPICS, Topic

LARGEST_RECORD = 1_100_000
"""Bytes: an event of the largest size and its Kafka framing."""
_MS_PER_DAY = 86_400_000
_HEADER = """\
# Every topic of the catalogue (shared/contracts/topics.py), from which this file is written:
#   python -m ops.contracts > deploy/topics.yaml
# Replicas are the installation's choice and not named here.
"""


def topics_yaml() -> str:
    """Return ``deploy/topics.yaml`` as it has to be."""
    topics = [_topic(topic) for topic in (*TOPICS, *DEAD_LETTER_TOPICS)]
    return _HEADER + yaml.safe_dump({"topics": topics}, sort_keys=False, default_flow_style=None, width=110)


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "name": topic.name,
        "partitions": topic.partitions,
        "key": topic.key.name.lower(),
        "says": list(topic.says),
        "hears": list(topic.hears),
        "config": broker_settings(topic),
    }


def broker_settings(topic: Topic) -> dict[str, str | int]:
    """Return what the broker is told of a topic. A tombstone stays as long as records do elsewhere."""
    kept = topic.retention_days * _MS_PER_DAY
    if topic.compacted:
        return {"cleanup.policy": "compact", "delete.retention.ms": kept, "max.message.bytes": LARGEST_RECORD}
    return {"cleanup.policy": "delete", "retention.ms": kept, "max.message.bytes": LARGEST_RECORD}


if __name__ == "__main__":
    print(topics_yaml(), end="")
