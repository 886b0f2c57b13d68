"""`make bench`: how fast the services are, as ratios to baselines measured in the same run.

It starts servers of its own on spare loopback ports. A baseline is a tiny program in `bench.baselines`
that does the least which the same work needs; what it reaches bounds what a service could.
"""
