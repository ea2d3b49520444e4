"""Writes down who may do what as it is now; run it after a change on purpose."""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.access_table import table_of
from support.access_world import SETTINGS, World
from support.registry_app import app_registry

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        with app_registry(root / "data", **SETTINGS) as registry:
            world = World(registry, root)
            world.build()
            text = table_of(world)
    Path(__file__).with_name("access.md").write_text(text, encoding="utf-8")
