"""Decides: may this message go out now, and did it arrive.

Hears: outbound-messages, inbound-messages, provider-events, directory, its own pairs.
Says: deliveries, pairs.
"""
