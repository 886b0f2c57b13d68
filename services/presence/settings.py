"""Presence's own knobs, read from ``PRESENCE_…``. Leases and graces are the tenants', in the directory."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PresenceSettings(BaseSettings):
    """How often the leases are looked at. Both are seconds."""

    model_config = SettingsConfigDict(env_prefix="PRESENCE_", frozen=True)

    sweep_seconds: float = Field(default=0.25, gt=0)
    """A lost agent is noticed so much later than their lease ends, at most."""
    reconcile_seconds: float = Field(default=5.0, gt=0)
    """How long Redis and PostgreSQL may disagree about an agent after a crash between the two."""
