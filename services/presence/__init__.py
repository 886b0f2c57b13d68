"""Decides who is online, away or offline.

Hears agents' signals, the directory and its own word; says each agent's whole state when it changes.
"""
