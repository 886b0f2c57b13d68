"""The rules of outbound, each pure: facts and the time in, a value out."""
