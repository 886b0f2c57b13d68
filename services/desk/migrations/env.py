"""Alembic's entry: the desk schema."""

from shared.platform.migrations import run

run("desk")
