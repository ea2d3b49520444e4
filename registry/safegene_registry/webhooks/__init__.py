"""Webhooks: events are sent to where owners of a namespace say.

`targets` and `sending` know nothing of the database, and are all that stands between an
owner's address and the network that the registry is in. `delivery` goes through what is
to be sent; a change knows nothing of any of this, so no receiver can delay one.
"""
