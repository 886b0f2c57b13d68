"""The AsyncAPI 3.0 document: topics as channels, events as messages, what services say and hear."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import yaml

from ops.contracts import broker_settings
from shared.contracts.catalogue import DEAD_LETTER_TOPICS, TOPICS, Key, Topic, model_of, types
from shared.contracts.cloudevents import CONTENT_TYPE

Examples = Mapping[str, Mapping[str, Any]]
"""By wire type, the example events by name: ``full``, ``minimal``."""

_KEYS = {
    Key.PAIR: "tenant:channel:business_address:customer_address; tenant:chat:id where no pair is known",
    Key.AGENT: "tenant:agent",
    Key.SENDER: "tenant:provider:business_address",
    Key.TICKET: "tenant:ticket:id; tenant:agent for accept_next",
    Key.DOCUMENT: "tenant:kind:id",
    Key.RECORD: "tenant:record:parked key, or the record's topic and partition",
}
_DESCRIPTION = """\
What the services of Chat Desk say and hear on Kafka, as CloudEvents 1.0 in JSON. An operation is a \
service's: it sends what other systems may receive. Channels marked `x-chatdesk: {open: true}` take events \
from other systems too. Structured and binary mode are read, structured mode is written. An installation \
may put a prefix before every topic."""


def asyncapi_yaml(examples: Examples) -> str:
    """Return ``contracts/asyncapi.yaml`` as it has to be; its schemas are the files beside it."""
    document = asyncapi(examples)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)


def asyncapi(examples: Examples) -> dict[str, Any]:
    """Return the document as plain data."""
    topics = (*TOPICS, *DEAD_LETTER_TOPICS)
    return {
        "asyncapi": "3.0.0",
        "id": "urn:chatdesk",
        "info": {"title": "Chat Desk", "version": version("chatdesk"), "description": _DESCRIPTION},
        "defaultContentType": CONTENT_TYPE,
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": dict(operation for topic in topics for operation in _operations(topic)),
        "components": {
            "messages": {wire_type: _message(wire_type, examples.get(wire_type, {})) for wire_type in types()}
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    settings = broker_settings(topic)
    return {
        "address": topic.name,
        "messages": {wire_type: _reference("components", "messages", wire_type) for wire_type in topic.types},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": settings | {"cleanup.policy": [settings["cleanup.policy"]]},
                "bindingVersion": "0.5.0",
            }
        },
        "x-chatdesk": {
            "key": topic.key.name.lower(),
            "key-form": _KEYS[topic.key],
            "open": topic.open,
            "versioned": topic.versioned,
        },
    }


def _operations(topic: Topic) -> list[tuple[str, dict[str, Any]]]:
    said = [(service, "send", "says") for service in topic.says]
    heard = [(service, "receive", "hears") for service in topic.hears]
    return [
        (
            f"{service}.{action}.{topic.name}",
            {
                "action": action,
                "channel": _reference("channels", topic.name),
                "summary": f"{service} {verb} {topic.name}",
                "tags": [{"name": service}],
            },
        )
        for service, action, verb in (*said, *heard)
    ]


def _message(wire_type: str, examples: Mapping[str, Any]) -> dict[str, Any]:
    summary = (model_of(wire_type).__doc__ or "").partition("\n")[0]
    message: dict[str, Any] = {
        "name": wire_type,
        "title": wire_type,
        "summary": summary.replace("``", "`"),
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "properties": {"content-type": {"type": "string", "const": CONTENT_TYPE}},
        },
        "payload": {"$ref": f"./schemas/{wire_type}.json"},
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
    }
    if examples:
        message["examples"] = [{"name": name, "payload": event} for name, event in examples.items()]
    return message


def _reference(*path: str) -> dict[str, str]:
    return {"$ref": "#/" + "/".join(path)}
