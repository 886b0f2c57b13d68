"""Does a server answer? Each question returns None for yes, else why not, in a few words."""

import asyncio
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import redis

_PATIENCE_SECONDS = 5.0
_METADATA, _METADATA_VERSION, _CORRELATION = 3, 1, 7


def kafka_silence(bootstrap: str) -> str | None:
    """Ask each of the comma-separated `host:port` for the cluster's brokers until one names any."""
    reasons = [_ask_broker(address.strip()) for address in bootstrap.split(",")]
    return None if None in reasons else "; ".join(reason for reason in reasons if reason)


def postgres_silence(url: str) -> str | None:
    """Connect and run `select 1`."""
    # In a thread of its own: the caller's thread may already run an event loop.
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, _select_one(url)).result()


def redis_silence(url: str) -> str | None:
    """Send PING; to the node that is named, where it is a cluster's."""
    try:
        with redis.Redis.from_url(
            url.replace("+cluster://", "://", 1),
            socket_timeout=_PATIENCE_SECONDS,
            socket_connect_timeout=_PATIENCE_SECONDS,
        ) as client:
            client.ping()
    except (OSError, ValueError, redis.RedisError) as refusal:
        return _told(refusal)
    return None


def _ask_broker(address: str) -> str | None:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_PATIENCE_SECONDS) as connection:
            # The request header with the client's name "x", then an empty list of topics.
            request = struct.pack(">hhih1si", _METADATA, _METADATA_VERSION, _CORRELATION, 1, b"x", 0)
            connection.sendall(struct.pack(">i", len(request)) + request)
            length, correlation, brokers = struct.unpack(">iii", _receive(connection, 12))
    except (OSError, ValueError) as refusal:
        return _told(refusal)
    if correlation != _CORRELATION or not 0 < brokers < length:
        return "it answers, but names no broker"
    return None


def _receive(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        more = connection.recv(length - len(received))
        if not more:
            raise ConnectionError("the connection was closed; is it a plaintext Kafka listener?")
        received += more
    return received


async def _select_one(url: str) -> str | None:
    try:
        connection = await asyncpg.connect(url, timeout=_PATIENCE_SECONDS)
        try:
            await connection.fetchval("select 1", timeout=_PATIENCE_SECONDS)
        finally:
            await connection.close(timeout=_PATIENCE_SECONDS)
    except (OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError) as refusal:
        return _told(refusal)
    return None


def _told(refusal: Exception) -> str:
    return str(refusal) or type(refusal).__name__
