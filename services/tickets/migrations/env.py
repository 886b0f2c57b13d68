"""Alembic's entry: the tickets schema."""

from shared.platform.migrations import run

run("tickets")
