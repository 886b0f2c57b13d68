"""Decides: what waits for a person, who works on it, and when it is done.

Hears: chats, ticket-commands, directory.
Says: tickets.
"""
