"""What is found of a topic, and what is said of it."""

import pytest

from ops.contracts import LARGEST_RECORD
from ops.topic_checks import Found, faults, missing
from shared.contracts.catalogue import TOPICS

CHATS = next(topic for topic in TOPICS if topic.name == "chats.v1")
PAIRS = next(topic for topic in TOPICS if topic.name == "pairs.v1")
FIT = {"cleanup.policy": "delete", "max.message.bytes": str(LARGEST_RECORD)}


@pytest.mark.parametrize(
    "found",
    [
        Found(12, FIT),
        Found(48, FIT),
        Found(12, {**FIT, "max.message.bytes": "9000000"}),
        Found(12),
    ],
    ids=["as declared", "more partitions", "larger messages", "settings not asked for"],
)
def test_a_topic_that_does_what_is_declared_and_more_is_fit(found: Found) -> None:
    assert faults([CHATS], {"chats.v1": found}, "", None) == []


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (Found(4, FIT), "chats.v1 has 4 partitions, 12 are declared: "),
        (Found(1, FIT), "chats.v1 has 1 partition, 12 are declared: "),
        (
            Found(12, {**FIT, "cleanup.policy": "compact"}),
            "chats.v1 has cleanup.policy=compact, delete is declared: ",
        ),
        (
            Found(12, {**FIT, "cleanup.policy": "compact,delete"}),
            "chats.v1 has cleanup.policy=compact,delete, delete is declared: ",
        ),
        (
            Found(12, {**FIT, "max.message.bytes": "1048588"}),
            "chats.v1 has max.message.bytes=1048588, 1100000 is declared: ",
        ),
    ],
)
def test_an_unfit_topic_is_named_with_what_it_is_and_what_is_declared(found: Found, told: str) -> None:
    (fault,) = faults([CHATS], {"chats.v1": found}, "", None)
    assert fault.startswith(told)


def test_each_fault_says_what_to_do_to_the_topic_by_its_full_name() -> None:
    few, policy, size = faults(
        [CHATS],
        {"eu.chats.v1": Found(3, {"cleanup.policy": "compact", "max.message.bytes": "1000"})},
        "eu.",
        None,
    )
    assert "`kafka-topics.sh --alter --topic eu.chats.v1 --partitions 12`" in few
    assert policy.endswith(
        "`kafka-configs.sh --alter --topic eu.chats.v1 --add-config cleanup.policy=delete`"
    )
    assert size.endswith(
        "`kafka-configs.sh --alter --topic eu.chats.v1 --add-config max.message.bytes=1100000`"
    )


@pytest.mark.parametrize(("chosen", "is_fit"), [(4, True), (3, True), (5, False), (64, False), (None, False)])
def test_an_installation_that_chose_fewer_partitions_has_enough_with_them(
    chosen: int | None, *, is_fit: bool
) -> None:
    assert (faults([CHATS], {"chats.v1": Found(4, FIT)}, "", chosen) == []) is is_fit


def test_who_chose_more_partitions_than_declared_still_runs_on_those_declared() -> None:
    assert faults([CHATS], {"chats.v1": Found(12, FIT)}, "", 64) == []


def test_a_topic_that_is_not_there_is_missing_and_no_fault() -> None:
    found = {"eu.chats.v1": Found(12, FIT), "pairs.v1": Found(12)}
    assert missing([CHATS, PAIRS], found, "eu.") == ["eu.pairs.v1"]
    assert faults([CHATS, PAIRS], found, "eu.", None) == []
