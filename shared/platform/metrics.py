"""Every metric of the desk, by name: dashboards and alerts stand on this list, so change it on purpose."""

import math

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

RECORDS_READ = Counter("chatdesk_records_read", "Records taken from Kafka.", ["topic"])
RECORDS_REPEATED = Counter("chatdesk_records_repeated", "Records recognised as repeats.", ["topic"])
RECORDS_REJECTED = Counter(
    "chatdesk_records_rejected", "Records that never can be handled.", ["topic", "reason"]
)
RECORDS_PARKED = Counter("chatdesk_records_parked", "Records parked with their key.", ["topic", "reason"])
RECORDS_EXPIRED = Counter(
    "chatdesk_records_expired", "Records deleted by the broker before they were read.", ["topic"]
)
BATCH_SECONDS = Histogram(
    "chatdesk_batch_seconds", "One batch, from its transaction's begin to its commit.", buckets=_SECONDS
)
BATCH_RECORDS = Histogram(
    "chatdesk_batch_records", "Records per batch.", buckets=(1, 5, 10, 50, 100, 250, 500, 1000, 2000)
)
BATCH_RETRIES = Counter(
    "chatdesk_batch_retries", "Batches tried again after a fault that may heal.", ["error"]
)
EVENTS_PUBLISHED = Counter("chatdesk_events_published", "Events acknowledged by Kafka.", ["topic"])
PUBLISH_FAILURES = Counter(
    "chatdesk_publish_failures", "Publishing rounds that failed and were started again."
)
OUTBOX_ROWS = Gauge("chatdesk_outbox_rows", "Events waiting in the outbox lanes this process drains.")
DUE_FIRED = Counter("chatdesk_due_fired", "Timers and sweeps carried out.", ["kind"])
DUE_FAILED = Counter("chatdesk_due_failed", "Timers and sweeps that raised.", ["kind"])
READ_LAG_SECONDS = Gauge(
    "chatdesk_read_lag_seconds", "How long ago every input had been read to its end; NaN: one never was."
)
READ_LAG_SECONDS.set(math.nan)
REBALANCES = Counter("chatdesk_rebalances", "Times the partitions of this process changed.")
PARTITION_PAUSED = Gauge(
    "chatdesk_partition_paused",
    "1 while a partition this process has is paused at the limit of dead letters.",
    ["topic", "partition"],
)
PARKED_KEYS = Gauge("chatdesk_parked_keys", "Keys of this service whose events wait to be replayed.")
PARKED_OLDEST_SECONDS = Gauge(
    "chatdesk_parked_oldest_seconds", "How long the oldest event of a parked key has waited; 0: none is."
)
DEAD_LETTERS_REPLAYED = Counter(
    "chatdesk_dead_letters_replayed", "Records put aside that were handled after all.", ["topic"]
)
DEAD_LETTERS_DROPPED = Counter(
    "chatdesk_dead_letters_dropped", "Records put aside that somebody decided not to handle.", ["topic"]
)
PRESENCE_MENDED = Counter(
    "chatdesk_presence_mended",
    "Agents of whom Redis and PostgreSQL said different things, by what it was: absent (present without a"
    " lease), present (gone or lost, with one), ended_session (a lease of a signed-out session), idle.",
    ["what"],
)
REPLAYS_FAILED = Counter("chatdesk_replays_failed", "Records whose replay failed again.", ["topic", "reason"])
