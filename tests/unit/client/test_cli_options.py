"""The command line is a promise: its options are frozen and documented.

A change on purpose is written down with
`python tests/unit/client/freeze_cli_options.py`, and belongs into the changelog.
"""

import json
import re
from collections import defaultdict
from pathlib import Path

import pytest
from safegene_client.cli import cli
from support.command_line import describe_commands, every_command
from support.sources import ROOT

FROZEN = Path(__file__).with_name("cli_options.json")
GUIDE = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
ALL = every_command(cli)
COMMANDS = sorted(ALL)


def section_of(command):
    match = re.search(
        rf"^## {command}\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE
    )
    assert match is not None, f"docs/cli.md has no section on {command}"
    return match[1]


def test_options_are_what_they_were():
    assert describe_commands(cli) == json.loads(FROZEN.read_text(encoding="utf-8"))


def test_the_commands_are_there():
    assert list(ALL) == [
        *("extract", "import", "inspect", "push", "search", "compatible", "pull"),
        *("select", "recalibrate", "apply", "merge", "evaluate"),
        *("frontier", "exchange", "yank", "unyank", "deprecate", "undeprecate"),
        *("purge",),
        *("alias set", "alias list", "alias history", "alias remove", "alias protect"),
        *("policy show", "policy set", "policy check", "approve"),
        *("advisories", "advisory publish", "advisory withdraw"),
        *("events", "webhooks list", "webhooks add", "webhooks remove"),
        *("webhooks deliveries", "webhooks replay"),
        *("attest", "attestations", "keys new"),
        *("evaluator list", "evaluator trust", "evaluator distrust"),
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_talks_json_and_shows_an_example(name):
    command = ALL[name]
    options = {flag for parameter in command.params for flag in parameter.opts}

    assert {"--json", "--verbose"} <= options
    assert "Example:" in command.epilog
    assert f"safegene {name}" in command.epilog


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_or_self_evident(name):
    bare = {"rank", "seed", "license_", "limit", "device"}
    for parameter in ALL[name].params:
        if parameter.param_type_name == "option":
            known = parameter.help or parameter.name in bare
            assert known, f"{name} {parameter.opts}"


WIDER = {
    "--aligned": "a directory where only that can be measured",
    "--lookalike": "further sets, each with a name, in evaluate",
    "--model": "what only an API serves, where nothing is loaded",
    "--out": "a directory or a file, as the command writes one or the other",
}
"""Options that take more in some commands than in others, and what."""


def test_options_of_one_name_take_one_kind_of_value():
    kinds = defaultdict(set)
    for command in ALL.values():
        for parameter in command.params:
            if parameter.param_type_name == "option":
                kinds[parameter.opts[0]].add((parameter.type.name, parameter.multiple))

    assert {name for name, found in kinds.items() if len(found) > 1} == WIDER.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_guide_has_every_argument_and_option(name):
    text = section_of(name)
    for parameter in ALL[name].params:
        if parameter.name in ("as_json", "verbose", "url", "cache"):
            continue  # explained once for all commands
        if parameter.param_type_name == "option":
            word = f"`{parameter.opts[0]}`"
        else:
            word = parameter.metavar or parameter.name.upper()
        assert word in text, f"docs/cli.md: {name} lacks {word}"


def test_guide_has_no_option_that_is_not_there():
    known = {
        flag
        for command in ALL.values()
        for parameter in command.params
        for flag in parameter.opts
    } | {"--help", "--version"}

    named = set(re.findall(r"`(--[a-z-]+)", GUIDE))

    assert named - known == set()


def test_guide_has_the_exit_codes():
    rows = re.findall(r"^\| (\d+) \|", GUIDE, re.MULTILINE)

    assert rows == ["0", "1", "2", "3", "4", "5", "6", "130"]
