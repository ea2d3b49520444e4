"""Leaves out what is about the checkout when the tests run beside the built wheel."""

from support.sources import ROOT

collect_ignore = [] if (ROOT / "safegene").is_dir() else ["test_hooks.py"]
