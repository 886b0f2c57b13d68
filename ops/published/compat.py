"""What changed between two published versions of the contracts, and whom it breaks (docs/decisions/0061).

Two sides are held to: whoever publishes what we read, and whoever reads what is on the topics, records
that are kept from before included.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from ops.published.schema_changes import Side, Weight, differences

Channel = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """One version as other systems have it: schemas by wire type, AsyncAPI channels by topic."""

    schemas: Mapping[str, Mapping[str, Any]]
    channels: Mapping[str, Channel]


@dataclass(frozen=True, slots=True)
class Change:
    """One change, where it is, and what it means to others."""

    weight: Weight
    subject: str
    where: str
    what: str


class _Unmovable(Enum):
    """What a topic may never change within a version, and where its channel says it."""

    KEY = "key"
    VERSIONED = "versioned"


def changes(old: Published, new: Published) -> list[Change]:
    """Return every change, breaking ones first, then by subject. Words alone are no change."""
    found = [*_topics(old, new), *_types(old, new), *_schemas(old, new)]
    order = list(Weight)
    return sorted(found, key=lambda one: (order.index(one.weight), one.subject, one.where, one.what))


def _topics(old: Published, new: Published) -> Iterator[Change]:
    for name in sorted(old.channels.keys() | new.channels.keys()):
        if name not in new.channels:
            yield Change(Weight.BREAKS, name, "topic", "is removed or renamed")
        elif name not in old.channels:
            yield Change(Weight.ADDS, name, "topic", "is new")
        else:
            yield from _topic(name, old.channels[name], new.channels[name])


def _topic(name: str, old: Channel, new: Channel) -> Iterator[Change]:
    before, after = old["x-chatdesk"], new["x-chatdesk"]
    for one in _Unmovable:
        if before[one.value] != after[one.value]:
            yield Change(Weight.BREAKS, name, one.value, f"was {before[one.value]}, is {after[one.value]}")
    if before["open"] and not after["open"]:
        yield Change(Weight.BREAKS, name, "open", "takes no events from other systems any more")
    if after["open"] and not before["open"]:
        yield Change(Weight.ADDS, name, "open", "takes events from other systems")
    yield from _broker_settings(name, old["bindings"]["kafka"], new["bindings"]["kafka"])


def _broker_settings(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    before, after = old["topicConfiguration"], new["topicConfiguration"]
    told = {"partitions": (old["partitions"], new["partitions"])} | {
        setting: (before.get(setting), after.get(setting)) for setting in sorted(before.keys() | after.keys())
    }
    for setting, (was, is_now) in told.items():
        if was != is_now:
            weight = Weight.BREAKS if setting == "cleanup.policy" else Weight.NOTABLE
            yield Change(weight, name, setting, f"was {was}, is {is_now}")


def _types(old: Published, new: Published) -> Iterator[Change]:
    before, after = _homes(old), _homes(new)
    for wire_type, topic in sorted(before.keys() | after.keys()):
        if (wire_type, topic) not in after and topic in new.channels:
            yield Change(Weight.BREAKS, wire_type, "type", f"is no longer on {topic}")
        if (wire_type, topic) not in before and topic in old.channels:
            yield Change(Weight.ADDS, wire_type, "type", f"is new on {topic}")


def _homes(published: Published) -> dict[tuple[str, str], bool]:
    return {
        (wire_type, name): channel["x-chatdesk"]["open"]
        for name, channel in published.channels.items()
        for wire_type in channel["messages"]
    }


def _schemas(old: Published, new: Published) -> Iterator[Change]:
    open_types = {wire_type for (wire_type, _), is_open in _homes(new).items() if is_open}
    for wire_type in sorted(old.schemas.keys() & new.schemas.keys()):
        side = Side.PUBLISHED_BY_OTHERS if wire_type in open_types else Side.READ_BY_OTHERS
        for one in differences(old.schemas[wire_type], new.schemas[wire_type], side):
            yield Change(one.weight, wire_type, one.where, one.what)
