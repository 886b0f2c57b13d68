"""Routing's rules: pure functions over facts, one file per rule."""
