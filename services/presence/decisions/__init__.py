"""The rules of presence, each a pure function of facts and the time."""
