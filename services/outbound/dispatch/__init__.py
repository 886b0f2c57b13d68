"""Brings stored messages to their providers: claim, call, record. Each call lies between two transactions."""
