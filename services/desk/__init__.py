"""Decides: which edit of a tenant's documents stands. The archive, projections and pages are not built yet.

Hears: its own directory.
Says: directory.
"""
