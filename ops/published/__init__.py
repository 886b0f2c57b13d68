"""What other systems are given of the contracts: schemas, an AsyncAPI document, examples, released versions.

Everything is written from the catalogue (shared/contracts) into ``contracts/`` and committed.
"""
