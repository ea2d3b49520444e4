"""An adapter of the Hugging Face Hub becomes a vector, or it is told why it cannot.

The command, the Hub's client and the bytes on the wire are real; only the Hub is small.
"""

import copy
import json
import socket

import peft
import pytest
import torch
from support.hub_server import Hub, hub_server
from support.models import logits_of, random_ids, save_checkpoint, tiny_model
from support.safegene_command import SafegeneCommand

from safegene.vectors.attach import attach
from safegene.vectors.peft_format import load_vector

BASE, LORA = "acme/base", "acme/lora"
NEW = ("--name", "acme/guard", "--version", "1.0.0", "--out")
SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""


def save_adapter(directory, base, *, seed=17, **fields):
    """A random LoRA adapter as PEFT saves it, beside what repositories hold as well."""
    config = peft.LoraConfig(
        target_modules="all-linear", r=4, lora_alpha=6, init_lora_weights=False
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        adapted = peft.get_peft_model(copy.deepcopy(base), config).eval()
    adapted.save_pretrained(directory, save_embedding_layers=False)
    path = directory / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))
    (directory / "optimizer.pt").write_bytes(b"a pickle that nobody needs")
    (directory / "checkpoint-7").mkdir()
    (directory / "checkpoint-7" / "adapter_model.safetensors").write_bytes(b"older")
    return adapted


@pytest.fixture(scope="module")
def base():
    """The base model; tests leave it as it is."""
    return tiny_model()


@pytest.fixture(scope="module")
def hub(base, tmp_path_factory):
    """A Hub with a base and adapters of its first state, and one without a base."""
    place, made = tmp_path_factory.mktemp("repositories"), Hub()
    save_checkpoint(base, place / "base")
    save_checkpoint(tiny_model(seed=1), place / "newer-base")
    (place / "base" / "pytorch_model.bin").write_bytes(b"a second copy, pickled")
    named = {"base_model_name_or_path": BASE, "revision": "v1"}
    save_adapter(place / "old", base, seed=3, **named)
    save_adapter(place / "lora", base, **named)
    save_adapter(place / "homeless", base, base_model_name_or_path="acme/gone")
    made.put(BASE, place / "base", name="v1")
    made.put(BASE, place / "newer-base")
    made.put(LORA, place / "old", name="v1/first")
    made.put(LORA, place / "lora")
    made.put("acme/homeless", place / "homeless")
    made.put("acme/gated", place / "lora")
    made.closed.add("acme/gated")
    return made


@pytest.fixture
def server(hub):
    with hub_server(hub) as running:
        yield running


@pytest.fixture
def safegene(server, tmp_path):
    """The command; its Hub is ours, and what it keeps is gone with the test."""
    settings = {
        "HF_ENDPOINT": server.url,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "hub"),
    }
    return SafegeneCommand(tmp_path, settings)


def test_adapter_and_the_base_it_names_come_from_the_hub(
    safegene, server, hub, base, tmp_path
):
    """What is asked for is what is needed, and the vector does what PEFT does."""
    told = safegene.must("import", LORA, *NEW, "vector")

    vector = load_vector(tmp_path / "vector")
    model = copy.deepcopy(base)
    attach(model, vector)
    ids = random_ids(base)
    adapted = save_adapter(tmp_path / "again", base)
    commit, base_commit = hub.commit(LORA), hub.commit(BASE, "v1")
    assert torch.allclose(logits_of(model, ids), logits_of(adapted, ids), atol=SAME)
    assert told["recipe"]["parameters"]["adapter"] == f"{LORA}@{commit}"
    assert (vector.base_model.id, vector.base_model.revision) == (BASE, base_commit)
    fetched = {got.path for got in server.requests if got.method == "GET"}
    assert f"/{LORA}/resolve/{commit}/adapter_model.safetensors" in fetched
    assert f"/{BASE}/resolve/{base_commit}/model.safetensors" in fetched
    for needless in ("optimizer.pt", "checkpoint-7", "pytorch_model.bin"):
        assert not [path for path in fetched if needless in path]


def test_revision_names_an_older_state_and_offline_it_is_still_there(
    safegene, server, hub
):
    """A tag with a slash in it; the second import asks nobody."""
    older = hub.commit(LORA, "v1/first")
    how = ("import", LORA, "--revision", "v1/first")

    first = safegene.must(*how, *NEW, "first")
    asked = len(server.requests)
    again = safegene.having(HF_HUB_OFFLINE="1").must(*how, *NEW, "again")

    assert first["recipe"]["parameters"]["adapter"] == f"{LORA}@{older}"
    assert asked > 0
    assert len(server.requests) == asked
    assert again["digest"] == first["digest"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(
            ("acme/none",),
            "no adapter at acme/none: there is no such directory, and the Hugging Face"
            " Hub has none for you (",
            id="unknown",
        ),
        pytest.param(
            ("acme/gated",), "no adapter at acme/gated: there is no such", id="gated"
        ),
        pytest.param(
            (LORA, "--revision", "v2"),
            "no adapter at acme/lora at revision v2: there is no such",
            id="revision",
        ),
        pytest.param((BASE,), "no PEFT adapter at acme/base: expected", id="a-model"),
        pytest.param(
            ("acme/homeless",), "no model at acme/gone: there is no such", id="no-base"
        ),
    ],
)
def test_what_is_no_adapter_on_the_hub_is_told(safegene, tmp_path, arguments, told):
    """Exit code 2, with the name that was given."""
    ended = safegene.run("import", *arguments, *NEW, "vector", "--json")

    assert ended.code == 2
    assert ended.document["error"]["detail"].startswith(told)
    assert not (tmp_path / "vector").exists()


def test_hub_that_cannot_be_asked_is_told(safegene, server, tmp_path):
    """Exit code 6, offline and where nobody answers; a directory needs no Hub."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    offline = safegene.having(HF_HUB_OFFLINE="1")

    for command in (offline, safegene.having(HF_ENDPOINT=nobody)):
        ended = command.run("import", LORA, *NEW, "vector", "--json")
        assert ended.code == 6
        detail = ended.document["error"]["detail"]
        assert detail.startswith(f"no adapter at {LORA}: there is no such directory,")
        assert "could not be asked" in detail
        assert "give a directory" in detail

    assert server.requests == []
    assert not (tmp_path / "vector").exists()
