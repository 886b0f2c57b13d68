"""Will decide: what did the provider tell us. Not built yet; until then others publish its events.

Hears: the providers' webhooks over HTTP.
Says: inbound-messages, provider-events.
"""
