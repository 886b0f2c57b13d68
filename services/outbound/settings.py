"""Outbound's own knobs, read from ``OUTBOUND_…``. What a business may choose lives in the directory."""

from datetime import timedelta

from pydantic import AwareDatetime, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.outbound.model import Rules


class OutboundSettings(BaseSettings):
    """Limits and waits, in seconds. The lease is fixed at three times the longest call."""

    model_config = SettingsConfigDict(env_prefix="OUTBOUND_", frozen=True)

    cloud_api_version: int = Field(default=26, ge=1)
    """The version of the WhatsApp Cloud API, as in ``/v26.0/``."""
    rate_per_second: float = Field(default=80.0, gt=0, le=1000)
    """The most messages a sender may send in any second."""
    calls_per_sender: int = Field(default=100, ge=1)
    """The most calls one process has open at one sender."""
    call_deadline_seconds: float = Field(default=10.0, gt=0, le=10)
    """The longest provider call; a stopping service waits for it."""
    window_margin_seconds: float = Field(default=10.0, ge=5)
    """The window counts as closed this long before its end. Longer than a connection may take to open."""
    hearing_patience_seconds: float = Field(default=30.0, gt=0)
    """How long a send may wait for inbound to be read before it is refused."""
    in_doubt_hold_seconds: float = Field(default=30.0, ge=0)
    """How long a message in doubt holds back the later ones of its pair."""
    in_doubt_settle_seconds: float = Field(default=180.0, gt=0)
    """After this long without a receipt a message in doubt becomes unknown."""

    restored_at: AwareDatetime | None = None
    """When a restored database was taken up; without it outbound refuses to (docs/pipeline.md, 8)."""

    def rules(self) -> Rules:
        """Return what the decisions go by."""
        return Rules(
            window_margin=timedelta(seconds=self.window_margin_seconds),
            hearing_patience=timedelta(seconds=self.hearing_patience_seconds),
            in_doubt_hold=timedelta(seconds=self.in_doubt_hold_seconds),
            in_doubt_settle=timedelta(seconds=self.in_doubt_settle_seconds),
            lease=timedelta(seconds=3 * self.call_deadline_seconds),
            call_deadline=timedelta(seconds=self.call_deadline_seconds),
            rate_per_second=self.rate_per_second,
            calls_per_sender=self.calls_per_sender,
            restored_at=self.restored_at,
        )
