"""The house rules hold in every file, and each rule finds what it is there for."""

from pathlib import PurePosixPath

import pytest
from support import source_rules
from support.source_rules import RULES, Source
from support.sources import PACKAGES, other_sources, package_sources

OFFENCES = [
    pytest.param(
        source_rules.commits_only_in_db,
        "safegene_registry/catalog.py",
        "def f(session):\n    session.commit()\n",
        id="commit",
    ),
    pytest.param(
        source_rules.sql_only_in_repositories,
        "safegene_registry/catalog.py",
        "from sqlalchemy import select\n",
        id="sql",
    ),
    pytest.param(
        source_rules.vendor_clients_only_at_the_border,
        "safegene_registry/app.py",
        "def f():\n    import boto3\n",
        id="boto3",
    ),
    pytest.param(
        source_rules.vendor_clients_only_at_the_border,
        "safegene_registry/app.py",
        "from botocore.exceptions import ClientError\n",
        id="botocore",
    ),
    pytest.param(
        source_rules.no_pickles,
        "safegene/vectors/checkpoint.py",
        "import torch\nweights = torch.load('w.bin')\n",
        id="torch-load",
    ),
    pytest.param(
        source_rules.no_pickles,
        "safegene/vectors/checkpoint.py",
        "import os, pickle\n",
        id="pickle",
    ),
    pytest.param(
        source_rules.shapes_stay_checkable,
        "safegene/vectors/factors.py",
        "from __future__ import annotations\n",
        id="postponed-annotations",
    ),
    pytest.param(
        source_rules.files_stay_small,
        "safegene/errors.py",
        "x = 1\n" * 401,
        id="long-file",
    ),
    pytest.param(
        source_rules.functions_stay_small,
        "safegene/errors.py",
        "async def f():\n" + "    x = 1\n" * 80,
        id="long-function",
    ),
]


@pytest.mark.parametrize(("rule", "path", "text"), OFFENCES)
def test_a_rule_finds_what_breaks_it(rule, path, text):
    found = list(rule(Source(PurePosixPath(path), text)))

    assert len(found) == 1
    assert found[0].startswith(path)


@pytest.mark.parametrize(
    ("rule", "path", "text"),
    [
        pytest.param(
            source_rules.commits_only_in_db,
            "safegene_registry/db.py",
            "session.commit()\n",
            id="commit-in-db",
        ),
        pytest.param(
            source_rules.sql_only_in_repositories,
            "safegene_registry/repositories.py",
            "from sqlalchemy import select\n",
            id="sql-in-repositories",
        ),
        pytest.param(
            source_rules.vendor_clients_only_at_the_border,
            "safegene_registry/s3/client.py",
            "import boto3\n",
            id="boto3-at-the-border",
        ),
        pytest.param(
            source_rules.files_stay_small,
            "safegene/errors.py",
            "x = 1\n" * 400,
            id="file-at-the-limit",
        ),
        pytest.param(
            source_rules.functions_stay_small,
            "safegene/errors.py",
            "def f():\n" + "    x = 1\n" * 79,
            id="function-at-the-limit",
        ),
        pytest.param(
            source_rules.functions_stay_small,
            "safegene/errors.py",
            "def f():\n" + '    """Say."""\n' + "    x = 1\n" * 79,
            id="docstring-not-counted",
        ),
    ],
)
def test_a_rule_lets_pass_what_is_allowed(rule, path, text):
    assert list(rule(Source(PurePosixPath(path), text))) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_packages_keep_the_rule(rule):
    found = [finding for source in package_sources() for finding in rule(source)]

    assert found == []


@pytest.mark.parametrize(
    "rule",
    [source_rules.files_stay_small, source_rules.functions_stay_small],
    ids=lambda rule: rule.__name__,
)
def test_tests_and_examples_stay_small_too(rule):
    found = [finding for source in other_sources() for finding in rule(source)]

    assert found == []


def test_all_three_packages_are_looked_at():
    seen = {source.path.parts[0] for source in package_sources()}

    assert seen >= set(PACKAGES)
