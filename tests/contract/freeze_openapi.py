"""Writes down the interface as it is now; run it after a change on purpose."""

import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.registry_app import app_registry

if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory() as name,
        app_registry(Path(name) / "data") as registry,
    ):
        document = registry.client.get("/openapi.json").json()
    document["info"]["version"] = "any"
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False)
    Path(__file__).with_name("openapi.json").write_text(f"{text}\n", encoding="utf-8")
