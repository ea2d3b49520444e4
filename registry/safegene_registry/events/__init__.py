"""What has happened: an append-only chain of events for every namespace.

`recording` is what every change calls, in its own transaction; `chain` says what an
event is and what its digest covers.
"""
