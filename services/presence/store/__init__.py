"""Agents in PostgreSQL and leases in Redis, locked, read and saved together."""
