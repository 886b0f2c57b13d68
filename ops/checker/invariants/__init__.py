"""The ten invariants of the desk, one file each: pure functions over a story."""
