"""`safegene compatible` of what is not on this machine, or not as safetensors."""

import json
import struct

import pytest
from support.hub_server import Hub, hub_server
from support.scripted_server import json_reply
from support.versions import llama_config, write_version

from safegene.artifact.lineage import load_sketch, sketch_positions
from safegene.artifact.manifest import LINEAGE_NAME
from safegene.artifact.tensorwriter import tensor_file_bytes

NAMESPACE = "fitting"
MODEL = "acme/tiny-llama"
STRANGER = "acme/stranger"
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a vector's base model, an older one of another family, a stranger."""
    place, made = tmp_path_factory.mktemp("repositories"), Hub()
    manifest = write_version(place / "vector", vector=f"{NAMESPACE}/guard")
    family = manifest.architecture
    sketch = load_sketch(place / "vector" / LINEAGE_NAME, family)
    for repository, config, name, values in (
        (MODEL, llama_config(layers=3), "v1", None),
        (MODEL, llama_config(), "main", sketch),
        (STRANGER, llama_config(), "main", sketch[::-1]),
    ):
        directory = place / f"{repository.partition('/')[2]}-{name}"
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps(config))
        if values is not None:
            (directory / WEIGHTS).write_bytes(weights_with(values, family))
        made.put(repository, directory, name=name)
    return made


def weights_with(sketch, family):
    """A checkpoint that is zero but for the values of its sketch."""
    weights = {
        module.path: [0.0] * (module.out_features * module.in_features)
        for module in family.modules
    }
    values = iter(sketch)
    for run in sketch_positions(family):
        for at in range(run.offset, run.offset + run.count):
            weights[run.module][at] = next(values)
    return tensor_file_bytes(
        [
            (
                f"{module.path}.weight",
                (module.out_features, module.in_features),
                struct.pack(f"<{len(weights[module.path])}f", *weights[module.path]),
            )
            for module in family.modules
        ]
    )


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


def test_a_model_of_the_hub_is_asked_about_where_it_is(asking, server, hub):
    """Of the weights only the sampled ranges come; a revision is another model."""
    ask = ("compatible", MODEL, "--namespace", NAMESPACE)

    found = asking.must(*ask)
    older = asking.must(*ask, "--revision", "v1")
    table = asking.run(*ask, "--max-rank", "8", "--license", "Apache-2.0")
    none = asking.must(*ask, "--max-rank", "4")

    assert [match["level"] for match in found["fits"]] == ["exact"]
    assert older["fits"] == []
    assert older["others"][0]["reasons"][0]["module"] == "layers"
    assert "LINEAGE" in table.out
    assert f"{NAMESPACE}/guard@1.0.0" in table.out
    assert none["fits"] == []
    asked = [got for got in server.requests if got.path.endswith(WEIGHTS)]
    assert asked
    assert all("range" in got.headers for got in asked)
    # Once for the file's length, header and each of 14 runs; two commands did it.
    assert len(asked) <= 2 * (14 + 3)


def test_a_stranger_on_the_hub_is_told_apart(asking):
    found = asking.must("compatible", STRANGER, "--namespace", NAMESPACE)

    assert found["fits"] == []
    assert found["others"][0]["reasons"][0]["code"] == "lineage-differs"


def test_weights_that_cannot_be_asked_for_are_told(asking, server, hub):
    def refuse_weights(got):
        if got.path.endswith(WEIGHTS):
            return json_reply({"error": "not now"}, 403)
        return hub(got)

    server.respond = refuse_weights

    ended = asking.run("compatible", MODEL, "--namespace", NAMESPACE, "--json")

    assert ended.code == 6
    assert "the weights could not be compared" in ended.document["error"]["detail"]


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
