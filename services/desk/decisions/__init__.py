"""Which edits of a tenant's documents stand. Pure.

`coherence` judges a set, `hours` a calendar by itself, `revisions` each document of it,
`echoes` what the topic holds.
"""
