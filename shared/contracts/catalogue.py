"""The catalogue: from wire types to models, topics and keys, and how a service builds what it says."""

from datetime import datetime

from shared.contracts.chats import ChatFact, ChatRecorded
from shared.contracts.errors import Rejected
from shared.contracts.event import Cause, Event, Model, derived_id
from shared.contracts.identity import body_of, digest_of
from shared.contracts.keys import joined, key_of_pairless, pair_key_of
from shared.contracts.tickets import TicketFact
from shared.contracts.topics import DEAD_LETTER_TOPICS, DEAD_LETTER_TYPES, TOPICS, Key, Topic

__all__ = [
    "DEAD_LETTER_TOPICS",
    "TOPICS",
    "Key",
    "Topic",
    "body_of",
    "digest_of",
    "echoes_of",
    "fact",
    "is_compacted",
    "key_of",
    "model_of",
    "pair_key_of",
    "topic_named",
    "topic_of",
    "type_of",
    "types",
    "version_of",
]

_BY_NAME = {topic.name: topic for topic in (*TOPICS, *DEAD_LETTER_TOPICS)}
_HOMES = {wire_type: topic for topic in TOPICS for wire_type in topic.types}
_MODELS = {wire_type: model for topic in _BY_NAME.values() for wire_type, model in topic.types.items()}
_TYPES = {model: wire_type for wire_type, model in _MODELS.items()}
_PAIRLESS = frozenset(
    {wire_type for wire_type, topic in _HOMES.items() if topic.key is not Key.PAIR} | set(DEAD_LETTER_TYPES)
)


def types() -> tuple[str, ...]:
    """Return every wire type, sorted."""
    return tuple(sorted(_MODELS))


def topic_named(name: str) -> Topic:
    """Return the topic of this name. Raises KeyError when there is none."""
    return _BY_NAME[name]


def is_compacted(name: str) -> bool:
    """Tell whether the topic keeps each key's last record. Raises KeyError when there is no such topic."""
    return _BY_NAME[name].compacted


def echoes_of(service: str) -> frozenset[str]:
    """Return the types that a service says on compacted topics, and so reads back to re-assert them."""
    own = (topic for topic in TOPICS if topic.compacted and service in topic.says)
    return frozenset(wire_type for topic in own for wire_type in topic.types)


def topic_of(wire_type: str) -> str:
    """Return the name of the topic that carries a type. Raises Rejected for a type nobody knows.

    Each service has its own topic of dead letters, so for them it is a pattern, no name.
    """
    if wire_type in DEAD_LETTER_TYPES:
        return "<service>.dead-letters.v1"
    if (home := _HOMES.get(wire_type)) is None:
        raise _unknown(wire_type)
    return home.name


def model_of(wire_type: str) -> type[Model]:
    """Return the model of a type. Raises Rejected for a type nobody knows."""
    if (model := _MODELS.get(wire_type)) is None:
        raise _unknown(wire_type)
    return model


def type_of(model: type[Model]) -> str:
    """Return the wire type of a model. Raises KeyError when it is none of the catalogue's."""
    return _TYPES[model]


def key_of(event: Event[Model]) -> str:
    """Return the key that places an event on its topic, and under which it is parked.

    The pair's key on conversation topics, where a pair is known; ``tenant:chat:<id>`` for a chat
    command without one; ``tenant:agent``; ``tenant:kind:id`` for documents.
    """
    if event.type not in _PAIRLESS:
        if event.pair_key is not None:
            return event.pair_key
        if (named := pair_key_of(event.tenant_id, event.data)) is not None:
            return named
    return key_of_pairless(event)


def version_of(event: Event[Model]) -> tuple[str, int] | None:
    """Return the chat or ticket of which this is a version, and which; None for what takes no version.

    A refused command changes nothing and takes none, nor does what is recorded outside a chat.
    """
    match event.data:
        case ChatFact() as chat:
            return joined(event.tenant_id, "chat", chat.chat_id), chat.version
        case ChatRecorded(chat_id=str() as chat_id, version=int() as version):
            return joined(event.tenant_id, "chat", chat_id), version
        case TicketFact() as ticket:
            return joined(event.tenant_id, "ticket", ticket.ticket_id), ticket.version
        case _:
            return None


def fact(
    cause: Cause,
    data: Model,
    *,
    source: str,
    subject: str,
    time: datetime,
    pair_key: str | None = None,
    nth: int = 0,
) -> Event[Model]:
    """Build the event that follows from a cause: decided again, it has the same id.

    ``nth`` tells several of one type and subject apart. Without a ``pair_key`` the addresses in
    ``data`` name the pair; give it where aliases were resolved.
    """
    wire_type = type_of(type(data))
    return Event(
        id=derived_id(cause.id, wire_type, subject, str(nth)),
        source=source,
        type=wire_type,
        subject=subject,
        time=time,
        tenant_id=cause.tenant_id,
        data=data,
        pair_key=pair_key or pair_key_of(cause.tenant_id, data),
        correlation_id=cause.correlation_id,
        causation_id=cause.causation_id,
    )


def _unknown(wire_type: str) -> Rejected:
    return Rejected("unknown_type", f"no event of type {wire_type[:256]!r} is known here")
