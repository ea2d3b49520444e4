"""The commands that make vectors: options, what they print, what they refuse."""

import json

import peft
import pytest
import torch
from safegene_client.cli import main
from support.models import changed, save_checkpoint, save_pair, tiny_model

from safegene.artifact.bundle import verify_directory
from safegene.artifact.manifest import TENSORS_NAME


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A pair and a later state of its aligned model, in the current directory."""
    pair = save_pair(tmp_path, rank=None)
    save_checkpoint(changed(pair.aligned, scale=0.02, seed=9), tmp_path / "later")
    config = peft.LoraConfig(
        r=3, target_modules=["q_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        adapted = peft.get_peft_model(tiny_model(), config)
    adapted.save_pretrained(tmp_path / "lora")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def extract(aligned, out, *more, version="1.0"):
    return (
        *("extract", "--aligned", aligned, "--degraded", "degraded"),
        *("--base-model", "acme/base", "--name", "acme/guard"),
        *("--version", version, "--out", out, *more),
    )


IMPORT = ("import", "./lora", "--name", "acme/lora", "--version", "1", "--out", "made")


def document(capsys, *arguments, code=0):
    """The JSON a command prints, and its exit code checked."""
    ended = main([*arguments, "--json"])
    captured = capsys.readouterr()
    assert ended == code, captured
    return json.loads(captured.out)


def test_energy_and_workers_are_taken_and_the_ranks_recorded(capsys, place):
    made = document(
        capsys, *extract("aligned", "v1", "--rank", "20", "--energy", "0.5")
    )
    alike = document(
        capsys,
        *extract("aligned", "v2", "--rank", "20", "--energy", ".5", "--workers", "2"),
    )

    assert made["digest"] == alike["digest"]
    assert made["recipe"]["parameters"]["energy"] == "0.5"
    assert made["recipe"]["parameters"]["ranks_by_layer"].startswith("0: ")


def test_hotfix_keeps_the_other_layers_and_tells_what_has_to_be_fetched(capsys, place):
    document(capsys, *extract("aligned", "v1", "--rank", "5"))

    made = document(
        capsys,
        *extract("later", "v2", "--from", "v1", "--layers", "1", version="1.0.1"),
    )

    segments = [
        verify_directory(place / name).file(TENSORS_NAME).segments
        for name in ("v1", "v2")
    ]
    same = [old.layers for old, new in zip(*segments, strict=True) if old == new]
    assert same == [(), (0,)]
    assert made["changed_bytes"] == segments[1][2].size
    assert made["identity"] == "acme/guard@1.0.1"
    assert made["recipe"]["rank"] == 5
    assert made["recipe"]["parameters"]["layers_extracted_again"] == "1"


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        pytest.param((), 2, "--from needs --layers", id="no-layers"),
        pytest.param(
            ("--layers", "1", "--leaf", "q_proj"), 2, "leave --leaf out", id="leaf"
        ),
        pytest.param(
            *(("--layers", "1", "--rank", "6"), 2, "has rank 5, got 6"), id="rank"
        ),
        pytest.param(("--layers", "7"), 2, "no layer 7", id="layer"),
        pytest.param(
            ("--layers", "1", "--base-model", "acme/other"),
            *(5, "base model acme/base, got acme/other"),
            id="base",
        ),
    ],
)
def test_hotfix_that_does_not_fit_is_refused(capsys, place, more, code, said):
    document(capsys, *extract("aligned", "v1", "--rank", "5"))

    error = document(capsys, *extract("later", "v2", "--from", "v1", *more), code=code)[
        "error"
    ]

    assert said in error["detail"]
    assert not (place / "v2").exists()


def test_keep_is_refused_with_an_older_version(capsys, place):
    (place / "p.jsonl").write_text('{"prompt": "a"}\n')
    scored = ("--harmful", "p.jsonl", "--lookalike", "p.jsonl", "--keep", "1")

    error = document(
        capsys,
        *extract("later", "v2", "--from", "v1", "--layers", "1", *scored),
        code=2,
    )["error"]

    assert "leave --keep out" in error["detail"]


def test_adapter_is_imported_with_the_base_that_is_given(capsys, place):
    made = document(capsys, *IMPORT, "--base", "aligned", "--base-model", "acme/base")

    manifest = verify_directory(place / "made")
    assert made["digest"] == str(manifest.digest)
    assert manifest.base_model.id == "acme/base"
    assert manifest.recipe.method == "import"
    assert (manifest.recipe.rank, manifest.rank) == (3, 8)


def test_adapter_is_imported_with_the_base_that_it_names(capsys, place):
    path = place / "lora" / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": "./aligned"}
    path.write_text(json.dumps(config))

    assert document(capsys, *IMPORT)["identity"] == "acme/lora@1.0.0"
    assert verify_directory(place / "made").base_model.id == "aligned"


def test_adapter_without_a_base_and_one_that_is_special_are_refused(capsys, place):
    path = place / "lora" / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": None}
    path.write_text(json.dumps(config))

    nameless = document(capsys, *IMPORT, code=2)["error"]
    path.write_text(json.dumps(config | {"use_dora": True}))
    special = document(capsys, *IMPORT, "--base", "aligned", code=2)["error"]

    assert "names no base model" in nameless["detail"]
    assert "use_dora" in special["detail"]
    assert not (place / "made").exists()
