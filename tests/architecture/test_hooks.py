"""What is checked before a commit is what `make lint type` checks."""

import shlex
import subprocess

import yaml
from support.sources import ROOT


def hooks():
    text = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    return [hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]


def test_the_hooks_run_the_commands_of_make_lint_and_type():
    ended = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "lint", "type"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    checks = (".venv/bin/ruff", ".venv/bin/lint", ".venv/bin/code", ".venv/bin/mypy")
    made = [
        shlex.split(line)
        for line in ended.stdout.splitlines()
        if line.startswith(checks)
    ]

    assert [shlex.split(hook["entry"]) for hook in hooks()] == made
    assert len(made) == 5


def test_the_hooks_need_nothing_but_the_projects_environment():
    for hook in hooks():
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False
        assert hook["entry"].startswith(".venv/bin/")
