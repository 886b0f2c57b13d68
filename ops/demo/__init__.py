"""`chatdesk demo`: a contact centre on the real stack for a minute, and then the ten invariants.

Sets up a desk of its own (database, topics, directory), runs its services as processes, drives them with
customers, agents and a provider that misbehaves, waits until all is quiet, and has the checker judge it.
"""
