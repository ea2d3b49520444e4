"""A bad version is hidden by one command: nothing means it, who names it is warned."""

import json
import os

import pytest
from support.versions import llama_config, write_version

REASON = "refuses all code"


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def guard(safegene):
    """A vector with two versions; its name."""
    name = f"yanking-{os.urandom(4).hex()}/guard"
    for seed, version in enumerate(("1.0.0", "1.1.0")):
        write_version(
            safegene.directory / version, vector=name, version=version, seed=seed
        )
        safegene.must("push", version)
    model = safegene.directory / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(llama_config()))
    return name


def test_ranges_and_models_no_longer_find_it(safegene, guard):
    done = safegene.must("yank", f"{guard}@1.1", "--reason", REASON)

    assert done["identity"] == f"{guard}@1.1.0"
    assert done["yanked"]["reason"] == REASON
    assert safegene.must("pull", f"{guard}@~=1.0")["identity"] == f"{guard}@1.0.0"
    found = safegene.must("compatible", "model", "--namespace", guard.split("/")[0])
    assert [match["version"] for match in found["fits"]] == ["1.0.0"]


def test_who_names_it_gets_it_and_the_reason(safegene, guard):
    digest = safegene.must("pull", f"{guard}@1.1.0")["digest"]
    safegene.must("yank", f"{guard}@{digest}", "--reason", REASON)
    fresh = safegene.having(SAFEGENE_CACHE=str(safegene.directory / "new"))

    ended = fresh.run("pull", f"{guard}@1.1.0")
    shown = fresh.run("inspect", f"{guard}@1.1.0")

    assert ended.code == shown.code == 0
    assert f"{guard}@1.1.0 was yanked: {REASON}" in ended.err
    assert "1.1.0 (yanked), 1.0.0" in shown.out
    assert fresh.must("inspect", f"{guard}@1.0.0")["yanked"] == {"1.1.0": REASON}


def test_it_is_taken_back(safegene, guard):
    safegene.must("yank", f"{guard}@1.1.0", "--reason", REASON)

    ended = safegene.run("unyank", f"{guard}@1.1.0")

    assert ended.out == f"{guard}@1.1.0 is resolved again\n"
    assert safegene.must("pull", guard)["identity"] == f"{guard}@1.1.0"


@pytest.mark.parametrize("pick", ["", "@~=1.0", ":latest"])
def test_what_may_be_another_version_tomorrow_is_not_yanked(safegene, guard, pick):
    ended = safegene.run("yank", f"{guard}{pick}", "--reason", REASON)

    assert ended.code == 2
    assert f"{guard}@1.2.0" in ended.err
    assert safegene.must("pull", guard)["identity"] == f"{guard}@1.1.0"


def test_only_who_may_publish_yanks(safegene, guard):
    anonymous = safegene.having(SAFEGENE_TOKEN="")

    assert anonymous.run("yank", f"{guard}@1.1.0", "--reason", REASON).code == 4
    assert safegene.run("yank", f"{guard}@9", "--reason", REASON).code == 3
