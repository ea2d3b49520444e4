"""Writes down the options as they are now; run it after a change on purpose."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from safegene_client.cli import cli
from support.command_line import describe_commands

if __name__ == "__main__":
    text = json.dumps(describe_commands(cli), indent=2, ensure_ascii=False)
    Path(__file__).with_name("cli_options.json").write_text(
        text + "\n", encoding="utf-8"
    )
