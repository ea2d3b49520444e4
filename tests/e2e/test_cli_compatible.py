"""`safegene compatible` of what is not on this machine, or not as safetensors."""

import json

import pytest
from support.hub_server import Hub, hub_server
from support.versions import llama_config, write_version

NAMESPACE = "fitting"
MODEL = "acme/tiny-llama"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a model of the vector's family, and an older one of another."""
    place, made = tmp_path_factory.mktemp("repositories"), Hub()
    for name, config in (("now", llama_config()), ("then", llama_config(layers=3))):
        directory = place / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(config))
        (directory / "model.safetensors").write_bytes(b"weights that nobody asked for")
    made.put(MODEL, place / "then", name="v1")
    made.put(MODEL, place / "now")
    return made


@pytest.fixture
def server(hub):
    with hub_server(hub) as running:
        yield running


@pytest.fixture
def asking(safegene, server, tmp_path):
    """The command beside a registry with one vector, and a Hub of ours."""
    safegene.directory.mkdir(exist_ok=True)
    place = safegene.directory / "vector"
    write_version(place, vector=f"{NAMESPACE}/guard")
    safegene.must("push", "vector")
    return safegene.having(
        HF_ENDPOINT=server.url, HF_HUB_OFFLINE="0", HF_HOME=str(tmp_path / "hub")
    )


def test_a_model_of_the_hub_is_asked_about_by_its_config(asking, server):
    """No weights are fetched; a revision is another model."""
    ask = ("compatible", MODEL, "--namespace", NAMESPACE)

    found = asking.must(*ask)
    older = asking.must(*ask, "--revision", "v1")
    table = asking.run(*ask, "--max-rank", "8", "--license", "Apache-2.0")
    none = asking.must(*ask, "--max-rank", "4")

    assert [match["level"] for match in found["fits"]] == ["structural"]
    assert older["fits"] == []
    assert older["others"][0]["reasons"][0]["module"] == "layers"
    assert "LINEAGE" in table.out
    assert f"{NAMESPACE}/guard@1.0.0" in table.out
    assert none["fits"] == []
    fetched = {got.path for got in server.requests}
    assert not [path for path in fetched if "safetensors" in path]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        pytest.param(("acme/none",), 2, "has none for you", id="unknown"),
        pytest.param((MODEL, "--revision", "v9"), 2, "at revision v9", id="revision"),
        pytest.param(("vector", "--revision", "v1"), 2, "has no revision", id="path"),
        pytest.param(("nowhere",), 2, "a GGUF file or a Hugging Face", id="name"),
    ],
)
def test_what_is_no_model_is_told(asking, arguments, code, told):
    ended = asking.run("compatible", *arguments, "--json")

    assert ended.code == code
    assert told in ended.document["error"]["detail"]


def test_a_hub_that_cannot_be_asked_is_told(asking):
    ended = asking.having(HF_HUB_OFFLINE="1").run("compatible", MODEL, "--json")

    assert ended.code == 6
    assert "could not be asked" in ended.document["error"]["detail"]
