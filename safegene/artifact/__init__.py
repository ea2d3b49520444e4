"""The artifact format: whatever two machines must agree on.

Pure Python and pydantic: no torch, no network, no SQL. Registry, client and core all
build on it. Format 1 is described in `docs/format.md` and pinned by golden files.
"""
