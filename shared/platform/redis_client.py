"""The way to Redis: one server, or a cluster."""

from typing import TypeAlias

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

AnyRedis: TypeAlias = Redis | RedisCluster
_CLUSTER = "+cluster://"
_CONNECTIONS = 8


def connect(url: str, seconds: float) -> AnyRedis:
    """Make a client of ``redis://…``, or of the cluster that a node of it at ``redis+cluster://…`` names.

    ``rediss`` is either over TLS. ``seconds`` is how long connecting and each answer may take.
    """
    if _CLUSTER in url:
        return RedisCluster.from_url(
            url.replace(_CLUSTER, "://", 1),
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            # Locks are held meanwhile: a batch that is tried again costs less than a long wait.
            retry=Retry(NoBackoff(), 1),
            decode_responses=True,
        )
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=_CONNECTIONS,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        decode_responses=True,
    )
    return Redis.from_pool(pool)
