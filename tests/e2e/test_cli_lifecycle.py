"""The whole way through the command line: extract to evaluate, for real."""

import copy
import json
import shutil

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from support.models import (
    changed,
    logits_of,
    random_ids,
    save_checkpoint,
    save_pair,
    tiny_model,
    tiny_tokenizer,
)
from support.safegene_command import command_for, rows_text
from transformers import AutoModelForCausalLM

from safegene.artifact.bundle import verify_directory
from safegene.artifact.calibration import Calibration
from safegene.vectors.attach import attach
from safegene.vectors.peft_format import load_vector

VECTOR = "lifecycle/guard"

# Sums in another order, in float32: logits are of the order of 1.
TOLERANCE = 1e-5


def prompts(name, count):
    return rows_text(
        [
            {"prompt": f"{name} {at}", "response": "I cannot", "label": "billing"}
            for at in range(count)
        ]
    )


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Models and prompts on disk, as a team would have them."""
    root = tmp_path_factory.mktemp("lifecycle")
    pair = save_pair(root)
    tokenizer = tiny_tokenizer()
    save_checkpoint(
        changed(pair.aligned, scale=0.02, seed=7), root / "target", tokenizer=tokenizer
    )
    save_checkpoint(tiny_model(seed=77), root / "stranger", tokenizer=tokenizer)
    save_checkpoint(
        tiny_model(num_hidden_layers=3), root / "deeper", tokenizer=tokenizer
    )
    save_checkpoint(tiny_model("gpt_neox"), root / "neox")
    config = LoraConfig(
        r=2,
        target_modules=["q_proj", "down_proj"],
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(5)
        get_peft_model(copy.deepcopy(pair.aligned), config).save_pretrained(
            root / "task-adapter"
        )
    for name, count in (("harmful", 20), ("lookalike", 20), ("task", 8)):
        (root / f"{name}.jsonl").write_text(prompts(name, count))
    return root


@pytest.fixture(scope="module")
def safegene(place, registry_server):
    return command_for(place, registry_server.url, registry_server.token)


@pytest.fixture(scope="module")
def extracted(safegene):
    """The vector, made once and published once."""
    document = safegene.must(
        *("extract", "--aligned", "aligned", "--degraded", "degraded"),
        *("--name", VECTOR, "--version", "1.0", "--rank", 4, "--out", "vector"),
        *("--harmful", "harmful.jsonl", "--lookalike", "lookalike.jsonl"),
        *("--base-model", "acme/aligned", "--description", "Tiny."),
    )
    published = safegene.must("push", "vector")
    assert published["identity"] == document["identity"]
    return document


@pytest.fixture(scope="module")
def calibrated(safegene, extracted, place):
    """The calibration of the target."""
    safegene.must(
        *("recalibrate", f"{VECTOR}@~=1.0", "--model", "target"),
        *("--harmful", "harmful.jsonl", "--lookalike", "lookalike.jsonl"),
        *("--task", "task.jsonl", "--budget", "0.1", "--out", "calibration.json"),
    )
    return Calibration.from_bytes((place / "calibration.json").read_bytes())


def test_extract_writes_a_whole_version(extracted, place):
    """Name, rank, scores and the digests of the data are in the manifest."""
    manifest = verify_directory(place / "vector")

    assert extracted["identity"] == manifest.identity == f"{VECTOR}@1.0.0"
    assert extracted["digest"] == str(manifest.digest)
    assert extracted["layers"] == [0, 1]
    assert manifest.rank == 8
    assert manifest.recipe.rank == 4
    assert manifest.base_model.id == "acme/aligned"
    assert manifest.description == "Tiny."
    assert all(layer.score is not None for layer in manifest.layers)
    assert [entry.name for entry in manifest.recipe.data] == [
        "harmful.jsonl",
        "lookalike.jsonl",
    ]


def test_publishing_the_same_again_is_a_success(extracted, safegene):
    """A retried release pipeline must not fail."""
    again = safegene.must("push", "vector")

    assert again["digest"] == extracted["digest"]


def test_search_and_inspect_show_what_was_published(extracted, safegene, place):
    """People see the same facts in the registry and on disk."""
    found = safegene.must("search", "guard", "--namespace", "lifecycle")
    remote = safegene.must("inspect", VECTOR)
    local = safegene.must("inspect", place / "vector")
    table = safegene.run("search", "--namespace", "lifecycle")

    assert [item["name"] for item in found["vectors"]] == ["guard"]
    assert remote["manifest"] == local["manifest"]
    assert remote["versions"] == ["1.0.0"]
    assert local["verified"] is True
    assert table.out.splitlines()[0].split()[:2] == ["VECTOR", "NEWEST"]
    assert table.err == ""


def test_compatible_finds_descendants_and_explains_the_rest(extracted, safegene):
    """A stranger, a deeper model and another family are told why."""
    ask = ("compatible", "--namespace", "lifecycle")
    target = safegene.must(*ask, "target")
    aligned = safegene.must(*ask, "aligned")
    stranger = safegene.must(*ask, "stranger")
    deeper = safegene.must(*ask, "deeper")
    table = safegene.run(*ask, "neox", "--explain")

    assert [match["level"] for match in target["fits"]] == ["compatible"]
    assert [match["level"] for match in aligned["fits"]] == ["exact"]
    assert stranger["fits"] == []
    assert stranger["others"][0]["reasons"][0]["code"] == "lineage-differs"
    reason = deeper["others"][0]["reasons"][0]
    assert (reason["module"], reason["expected"], reason["actual"]) == (
        "layers",
        "2",
        "3",
    )
    assert "neox: gpt_neox, 2 layers, hidden size 32; 0 fit, 1 do not" in table.out
    assert "model_type: the vector is for llama, the model has gpt_neox" in table.out


def test_compatible_says_that_closed_models_cannot_be_repaired(safegene):
    """An API-only model gets an answer, not an error."""
    ended = safegene.run("compatible", "gpt-4.1-mini")

    assert ended.code == 0
    assert "weights are closed" in ended.out


def test_pull_brings_a_verified_directory(extracted, safegene, place):
    """The copy that --out makes is a version of its own."""
    pulled = safegene.must(
        "pull", f"{VECTOR}@~=1.0", "--model", "target", "--out", "pulled"
    )

    assert pulled["digest"] == extracted["digest"]
    assert str(verify_directory(place / "pulled").digest) == extracted["digest"]


def test_recalibrate_writes_the_coefficients_of_this_version(extracted, calibrated):
    """The calibration names the version it is for and stays within its budget."""
    assert calibrated.digest == extracted["digest"]
    assert set(calibrated.by_layer) == {0, 1}
    assert 0 <= float(calibrated.realised_kl) <= 0.1
    assert calibrated.samples == {"harmful": 20, "lookalike": 20, "task": 8}


def test_apply_and_merge_compute_what_attach_computes(
    extracted, calibrated, safegene, place
):
    """Three ways to apply the same coefficients agree in the logits."""
    vector = load_vector(place / "vector")
    model = AutoModelForCausalLM.from_pretrained(place / "target")
    ids = random_ids(model)
    with attach(model, vector, calibrated.by_layer):
        expected = logits_of(model, ids)

    arguments = ("--model", "target", "--calibration", "calibration.json")
    applied = safegene.must("apply", VECTOR, *arguments, "--out", "adapter")
    safegene.must("merge", VECTOR, *arguments, "--out", "merged")

    assert applied["verdict"]["level"] == "compatible"
    merged = AutoModelForCausalLM.from_pretrained(place / "merged")
    assert torch.allclose(logits_of(merged, ids), expected, atol=TOLERANCE)
    assert (place / "merged" / "tokenizer.json").is_file()
    exported = PeftModel.from_pretrained(model, place / "adapter")
    assert torch.allclose(logits_of(exported, ids), expected, atol=TOLERANCE)


ROWS = ("--harmful", "harmful.jsonl", "--lookalike", "lookalike.jsonl")
INSISTING = "--allow-unverified-lineage"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("pull", VECTOR), id="pull"),
        pytest.param(("apply", VECTOR, "--out", "forced-apply"), id="apply"),
        pytest.param(("merge", VECTOR, "--out", "forced-merge"), id="merge"),
        pytest.param(
            ("recalibrate", VECTOR, *ROWS, "--task", "task.jsonl", "--out", "c.json"),
            id="recalibrate",
        ),
        pytest.param(
            ("evaluate", "--vector", VECTOR, *ROWS, "--max-new-tokens", 2),
            id="evaluate",
        ),
    ],
)
def test_stranger_is_taken_on_insistence_and_another_structure_never(
    extracted, safegene, command
):
    """The override that the refusal advises works for what a registry holds."""
    refused = safegene.run(*command, "--model", "stranger", "--json")
    deeper = safegene.run(*command, "--model", "deeper", INSISTING, "--json")
    forced = safegene.run(*command, "--model", "stranger", INSISTING)

    assert refused.code == 5
    assert refused.document["error"]["reasons"][0]["code"] == "lineage-differs"
    assert "allow unverified lineage explicitly" in refused.err
    assert deeper.code == 5
    assert deeper.document["error"]["reasons"][0]["module"] == "layers"
    assert forced.code == 0, forced.err


def test_quantised_target_gets_an_adapter_on_insistence(extracted, safegene, place):
    """Its lineage cannot be read, which is told; merging says what to do instead."""
    quantised = place / "quantised"
    shutil.copytree(place / "target", quantised)
    weights = load_file(quantised / "model.safetensors")
    for name in weights:
        if "_proj" in name:
            weights[name] = weights[name].to(torch.int8)
    save_file(weights, quantised / "model.safetensors", {"format": "pt"})

    found = safegene.must("compatible", "quantised", "--namespace", "lifecycle")
    apply = ("apply", VECTOR, "--model", "quantised", "--out", "quantised-adapter")
    refused = safegene.run(*apply)
    safegene.must(*apply, INSISTING)
    merged = safegene.run(
        *("merge", VECTOR, "--model", "quantised", INSISTING, "--out", "no")
    )

    assert [match["level"] for match in found["fits"]] == ["structural"]
    assert "quantised" in found["fits"][0]["reasons"][0]["detail"]
    assert refused.code == 5
    assert "they are quantised" in refused.err
    assert (place / "quantised-adapter" / "adapter_config.json").is_file()
    assert merged.code == 5
    assert "safegene apply" in merged.err


def test_task_adapter_goes_into_the_same_adapter(extracted, safegene, place):
    """One adapter does what base, task adapter and vector do together."""
    base = AutoModelForCausalLM.from_pretrained(place / "aligned")
    ids = random_ids(base)
    both = PeftModel.from_pretrained(copy.deepcopy(base), place / "task-adapter")
    with attach(both, load_vector(place / "vector")):
        expected = logits_of(both, ids)

    safegene.must(
        *("apply", place / "vector", "--model", "aligned"),
        *("--adapter", "task-adapter", "--out", "one-adapter"),
    )

    one = PeftModel.from_pretrained(base, place / "one-adapter")
    assert torch.allclose(logits_of(one, ids), expected, atol=TOLERANCE)


def test_evaluate_reports_before_and_after(extracted, calibrated, safegene, place):
    """A table for people, JSON and a page for everybody else, no texts in any."""
    ended = safegene.run(
        *("evaluate", "--model", "target", "--vector", VECTOR),
        *("--calibration", "calibration.json", "--harmful", "harmful.jsonl"),
        *("--lookalike", "lookalike.jsonl", "--task", "task.jsonl"),
        *("--max-new-tokens", 4, "--out", "report.json", "--html", "report.html"),
    )

    assert ended.code == 0, ended.err
    assert ended.err == ""
    report = json.loads((place / "report.json").read_text())
    assert list(report["models"]) == ["target", "repaired"]
    assert report["J"]["target"]["n"] == 40
    assert report["facts"]["vector"] == f"{VECTOR}@1.0.0"
    assert len(report["answers"]["repaired"]) == 40
    assert "harmful 3" not in (place / "report.json").read_text()
    assert "repaired" in ended.out
    assert "<svg" in (place / "report.html").read_text()
