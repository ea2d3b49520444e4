"""The servable directory: PEFT loads it, the bytes repeat, bad ones are refused."""

import json
import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file
from support.models import (
    FAMILIES,
    logits_of,
    random_ids,
    random_vector,
    save_pair,
    tiny_model,
)

from safegene.artifact.bundle import verify_directory
from safegene.errors import (
    ArtifactError,
    DigestMismatchError,
    InvalidReferenceError,
    ManifestError,
    NonFiniteTensorError,
    RankError,
    TensorFileError,
    UsageError,
)
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.peft_format import (
    export_adapter,
    load_vector,
    save_vector,
    servable_rank,
)
from safegene.vectors.select import select_layers

SAME = 1e-4
"""Absolute, on logits of order one: float32 sums in another order."""

NAME = {"namespace": "acme", "name": "tiny-safety", "version": "1.0"}


def _with_nan(vector):
    path = next(iter(vector.factors))
    factors = vector.factors[path]
    bad = LowRankFactors(factors.a_RI, factors.b_OR * float("nan"))
    return replace(vector, factors={**vector.factors, path: bad})


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_loads_a_saved_vector_and_acts_like_attach(tmp_path, family):
    model = tiny_model(family)
    vector = random_vector(model)
    ids = random_ids(model)
    with attach(model, vector):
        wanted = logits_of(model, ids)

    save_vector(vector, tmp_path / "vector", **NAME)

    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path / "vector"))
    assert torch.allclose(logits_of(loaded, ids), wanted, atol=SAME)


@pytest.mark.parametrize("family", FAMILIES)
def test_peft_loads_an_export_with_the_coefficients_folded_in(tmp_path, family):
    model = tiny_model(family)
    vector = random_vector(model)
    ids = random_ids(model)
    coefficients = {0: 1.5, 1: 0.25}
    with attach(model, vector, coefficients):
        wanted = logits_of(model, ids)

    export_adapter(vector, tmp_path / "adapter", coefficients=coefficients)

    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path / "adapter"))
    assert torch.allclose(logits_of(loaded, ids), wanted, atol=SAME)
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_export_refuses_negative_coefficients_unless_asked_for(tmp_path):
    vector = random_vector(tiny_model())
    negated = {"coefficients": {0: -1.0}}

    with pytest.raises(UsageError, match=r"layer 0: .* got -1"):
        export_adapter(vector, tmp_path / "adapter", **negated)

    assert not (tmp_path / "adapter").exists()
    export_adapter(vector, tmp_path / "adapter", **negated, allow_negative=True)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_peft_leaves_layers_out_that_selection_left_out(tmp_path):
    model = tiny_model(num_hidden_layers=3)
    vector = select_layers(random_vector(model), {0: 0.1, 1: 0.9, 2: 0.5}, count=2)
    ids = random_ids(model)
    with attach(model, vector):
        wanted = logits_of(model, ids)

    save_vector(vector, tmp_path / "vector", **NAME)

    loaded = peft.PeftModel.from_pretrained(model, str(tmp_path / "vector"))
    assert torch.allclose(logits_of(loaded, ids), wanted, atol=SAME)
    again = load_vector(tmp_path / "vector")
    assert again.layers == (1, 2)
    assert again.layer_scores == {0: 0.1, 1: 0.9, 2: 0.5}


@pytest.mark.parametrize("score", [float("nan"), float("-inf")])
def test_score_that_is_no_number_is_refused_by_layer(tmp_path, score):
    vector = random_vector(tiny_model()).with_selection({0: 0.5, 1: score}, None)

    with pytest.raises(NonFiniteTensorError, match="layer 1: expected a finite score"):
        save_vector(vector, tmp_path / "vector", **NAME)

    assert list(tmp_path.iterdir()) == []


def test_loading_gives_back_what_was_saved(tmp_path):
    vector = random_vector(tiny_model(), rank=3)

    manifest = save_vector(
        vector, tmp_path / "vector", **NAME, description="For tests.", license="MIT"
    )

    loaded = load_vector(tmp_path / "vector")
    assert tuple(loaded.factors) == tuple(vector.factors)
    for path, factors in vector.factors.items():
        assert torch.equal(loaded.factors[path].delta(), factors.padded(8).delta())
    assert loaded.architecture == vector.architecture
    assert loaded.base_model == vector.base_model
    assert loaded.recipe == vector.recipe
    assert loaded.sketch == vector.sketch
    assert loaded.identity == "acme/tiny-safety@1.0.0"
    assert loaded.digest == str(manifest.digest)
    assert (manifest.license, manifest.description) == ("MIT", "For tests.")


def test_saved_directory_passes_verification_and_is_the_servable_profile(tmp_path):
    vector = random_vector(tiny_model(), rank=3, leaf_names=["q_proj", "down_proj"])

    manifest = save_vector(vector, tmp_path / "vector", **NAME)

    assert verify_directory(tmp_path / "vector") == manifest
    config = json.loads((tmp_path / "vector" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["use_rslora"]) == (8, 8, False)
    assert config["target_modules"] == ["down_proj", "q_proj"]
    assert config["rank_pattern"] == config["alpha_pattern"] == {}
    for name, tensor in load_file(
        tmp_path / "vector" / "adapter_model.safetensors"
    ).items():
        assert tensor.shape[0 if "lora_A" in name else 1] == 8


def test_tensors_lie_in_model_order_one_segment_a_layer(tmp_path):
    vector = random_vector(tiny_model(num_hidden_layers=12))

    manifest = save_vector(vector, tmp_path / "vector", **NAME)

    segments = manifest.file("adapter_model.safetensors").segments
    assert [segment.layers for segment in segments] == [
        (),
        *((layer,) for layer in range(12)),
    ]


def test_changing_one_layer_changes_one_segment(tmp_path):
    vector = random_vector(tiny_model(num_hidden_layers=3))
    hotfix = replace(
        vector,
        factors={
            path: factors.scaled(0.5 if vector.layer_of(path) == 1 else 1.0)
            for path, factors in vector.factors.items()
        },
    )

    first, second = (
        save_vector(version, tmp_path / name, **NAME)
        .file("adapter_model.safetensors")
        .segments
        for name, version in (("a", vector), ("b", hotfix))
    )

    changed = [old.layers for old, new in zip(first, second, strict=True) if old != new]
    assert changed == [(1,)]


def test_saving_a_loaded_vector_gives_the_same_digest(tmp_path):
    vector = random_vector(tiny_model(), rank=3)
    first = save_vector(vector, tmp_path / "first", **NAME)

    second = save_vector(load_vector(tmp_path / "first"), tmp_path / "second", **NAME)

    assert second.digest == first.digest
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_two_processes_extract_and_save_the_same_bytes(tmp_path):
    save_pair(tmp_path, rank=None)
    script = f"""
    import torch
    from safegene.vectors.checkpoint import Checkpoint
    from safegene.vectors.extract import extract_safety_vector
    from safegene.vectors.peft_format import save_vector
    torch.set_num_threads(1)
    pair = [Checkpoint.open("{tmp_path}/" + n) for n in ("aligned", "degraded")]
    vector = extract_safety_vector(*pair, rank=4)
    out = "{tmp_path}/out-" + __import__("os").environ["PYTHONHASHSEED"]
    print(save_vector(vector, out, namespace="a", name="b", version="1").digest)
    """

    digests = {_run(script, PYTHONHASHSEED=seed) for seed in ("1", "2")}

    vector = extract_safety_vector(
        Checkpoint.open(tmp_path / "aligned"),
        Checkpoint.open(tmp_path / "degraded"),
        rank=4,
    )
    here = save_vector(vector, tmp_path / "out", namespace="a", name="b", version="1")
    assert digests == {str(here.digest)}


def _run(script, **environment):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        pytest.param({"namespace": "A"}, InvalidReferenceError, "'A'", id="namespace"),
        pytest.param({"name": "../x"}, InvalidReferenceError, "name", id="name"),
        pytest.param({"version": "one"}, InvalidReferenceError, "one", id="version"),
        pytest.param({"license": ""}, ManifestError, "/license", id="license"),
    ],
)
def test_bad_names_are_refused_and_nothing_is_written(tmp_path, name, error, message):
    vector = random_vector(tiny_model())

    with pytest.raises(error, match=message):
        save_vector(vector, tmp_path / "vector", **(NAME | name))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", [save_vector, export_adapter])
def test_factor_that_is_not_finite_is_refused_and_nothing_is_written(tmp_path, write):
    vector = _with_nan(random_vector(tiny_model()))
    options = NAME if write is save_vector else {}

    with pytest.raises(NonFiniteTensorError, match=r"model\.layers\.0"):
        write(vector, tmp_path / "vector", **options)

    assert list(tmp_path.iterdir()) == []


def test_vector_without_a_lineage_sketch_is_not_written(tmp_path):
    vector = replace(random_vector(tiny_model()), sketch=())

    with pytest.raises(TensorFileError, match="sketch"):
        save_vector(vector, tmp_path / "vector", **NAME)

    assert list(tmp_path.iterdir()) == []


def test_directory_that_holds_files_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match="exists already"):
        save_vector(random_vector(tiny_model()), tmp_path, **NAME)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_export_refuses_a_coefficient_for_an_untouched_layer(tmp_path):
    with pytest.raises(UsageError, match="layer 9"):
        export_adapter(
            random_vector(tiny_model()), tmp_path / "out", coefficients={9: 1.0}
        )


def test_flipped_bit_is_found_by_layer_before_anything_is_loaded(tmp_path):
    save_vector(random_vector(tiny_model()), tmp_path / "vector", **NAME)
    path = tmp_path / "vector" / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)

    with pytest.raises(DigestMismatchError, match="layer 1"):
        load_vector(tmp_path / "vector")


def test_unverified_loading_still_checks_sizes_and_finiteness(tmp_path):
    save_vector(random_vector(tiny_model()), tmp_path / "vector", **NAME)
    path = tmp_path / "vector" / "adapter_model.safetensors"
    data = path.read_bytes()

    path.write_bytes(data[:-4] + b"\x00\x00\xc0\x7f")  # the last number is now NaN
    with pytest.raises(NonFiniteTensorError, match=r"layers\.1\.mlp\.down_proj"):
        load_vector(tmp_path / "vector", verify=False)

    path.write_bytes(data[:-4])
    with pytest.raises(ArtifactError, match=r"expected \d+ bytes"):
        load_vector(tmp_path / "vector", verify=False)


def test_directory_that_is_no_vector_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is not a safety vector"):
        load_vector(tmp_path)


def test_paths_may_be_plain_text(tmp_path):
    vector = random_vector(tiny_model())

    save_vector(vector, str(tmp_path / "vector"), **NAME)

    assert load_vector(str(tmp_path / "vector")).layers == (0, 1)
    assert Path(tmp_path / "vector" / "safegene.json").is_file()


@pytest.mark.parametrize(
    ("rank", "served"), [(1, 1), (2, 8), (8, 8), (9, 16), (300, 320)]
)
def test_rank_is_rounded_up_to_what_is_served(rank, served):
    assert servable_rank(rank) == served


def test_rank_above_what_is_served_is_refused():
    with pytest.raises(RankError, match="rank 513"):
        servable_rank(513)
