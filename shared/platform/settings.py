"""Where the servers are: the settings every service shares, read from ``CHATDESK_…``."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """Addresses and names. What a tenant may choose lives in the directory, not here."""

    model_config = SettingsConfigDict(env_prefix="CHATDESK_", frozen=True)

    kafka: str
    """Bootstrap servers, ``host:port[,host:port…]``."""
    database_url: str
    """``postgresql://user[:password]@host:port/database``; each service uses its own schema in it."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """``redis://…``; ``redis+cluster://…`` names a node of a Redis Cluster; ``rediss`` is either over TLS."""
    topic_prefix: str = ""
    """Put before every topic, consumer group and Redis key, so that several desks can share servers."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    batch_records: int = Field(default=2000, ge=1, le=5000)
    """Most records one batch transaction takes."""
    stuck_seconds: float = Field(default=60, gt=0)
    """A process ends when it reads nothing for so long although there is something to read."""
