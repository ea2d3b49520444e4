"""How answers are made unless somebody says otherwise; the command line shows it.

Needs no torch, so that `--help` can.
"""

MAX_NEW_TOKENS = 40
"""Where an answer is cut. It is the length of the answers that the outcome rules were
validated on (`docs/benchmarks/outcomes.md`); whether they hold for longer ones was not
looked at."""

BATCH_SIZE = 16
"""Prompts answered at once."""
