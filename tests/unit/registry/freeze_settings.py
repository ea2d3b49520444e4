"""Writes the table of settings into docs/operations.md: run it when they change.

python tests/unit/registry/freeze_settings.py
"""

from pathlib import Path

from safegene_registry.settings_page import with_table

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"

if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
