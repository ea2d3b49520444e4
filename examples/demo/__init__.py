"""The demo: the whole way of a safety vector, on a real model, with one command.

`python -m examples.demo` (or `make demo`) makes an aligned model, extracts a safety
vector, publishes it to a registry of its own, breaks the model's safety by harmless
fine-tuning, asks the registry what fits, pulls, recalibrates, applies, merges, and
proves with a table what came back. It exits with 1 when the figures do not hold.
"""
