"""Alembic's door to this service's schema."""

from shared.platform.migrations import run

run("outbound")
