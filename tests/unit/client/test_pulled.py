"""A pulled vector: checked, recalibrated and applied, or refused with the reason."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safegene_client.pulled import PulledVector
from support.models import (
    changed,
    logits_of,
    random_ids,
    random_vector,
    save_checkpoint,
    tiny_model,
    tiny_tokenizer,
)

from safegene.artifact.compatibility import Level
from safegene.errors import (
    ArtifactError,
    CompatibilityError,
    InvalidDataError,
    UsageError,
)
from safegene.evaluation.rows import PromptRow
from safegene.vectors.choices import EffortLevel
from safegene.vectors.peft_format import save_vector
from safegene.vectors.recalibrate import Effort


@pytest.fixture
def pulled(vector_directory):
    return PulledVector.open(vector_directory)


@pytest.fixture(scope="module")
def target(base):
    return changed(base, scale=0.02)


def rows(name, count=20):
    return [PromptRow(f"{name} prompt {at}", f"answer {at}") for at in range(count)]


def test_opening_verifies_every_byte(vector_directory, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(vector_directory, copy)
    tensors = copy / "adapter_model.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)

    with pytest.raises(ArtifactError, match=r"adapter_model\.safetensors"):
        PulledVector.open(copy)


def test_bytes_changed_after_the_pull_are_never_applied(
    vector_directory, tmp_path, target
):
    copy = tmp_path / "copy"
    shutil.copytree(vector_directory, copy)
    pulled = PulledVector.open(copy)
    tensors = copy / "adapter_model.safetensors"
    data = bytearray(tensors.read_bytes())
    data[-1] ^= 1
    tensors.write_bytes(data)

    with pytest.raises(ArtifactError):
        pulled.apply(target)


def test_check_judges_and_never_raises(pulled, base, target):
    assert pulled.check(base).level is Level.EXACT
    assert pulled.check(target).level is Level.COMPATIBLE
    assert pulled.check(target.config.to_dict()).level is Level.STRUCTURAL
    assert pulled.check(tiny_model(seed=9)).level is Level.INCOMPATIBLE
    assert pulled.check({"model_type": "mamba"}).level is Level.INCOMPATIBLE


def test_apply_changes_the_output_and_detach_gives_it_back(
    pulled, target, calibration_for
):
    ids = random_ids(target)
    before = logits_of(target, ids)

    attachment = pulled.apply(target, calibration_for(pulled))
    applied = logits_of(target, ids)
    attachment.detach()

    assert attachment.coefficients == {0: 0.5, 1: 2.0}
    assert not torch.equal(applied, before)
    assert torch.equal(logits_of(target, ids), before)


def test_apply_without_calibration_takes_the_vector_as_published(pulled, target):
    with pulled.apply(target) as attachment:
        assert attachment.coefficients == {0: 1.0, 1: 1.0}


def test_stranger_is_refused_unless_the_caller_insists(pulled):
    stranger = tiny_model(seed=9)

    with pytest.raises(CompatibilityError, match="do not descend"):
        pulled.apply(stranger)
    with pulled.apply(stranger, allow_unverified_lineage=True) as attachment:
        assert attachment.enabled


def test_other_structure_is_refused_even_if_the_caller_insists(pulled):
    with pytest.raises(CompatibilityError, match="the vector is for llama"):
        pulled.apply(tiny_model("gpt_neox"), allow_unverified_lineage=True)


def test_model_that_is_not_loaded_cannot_be_applied_to(pulled, tmp_path):
    with pytest.raises(UsageError, match="loaded model"):
        pulled.apply(tmp_path)
    with pytest.raises(UsageError, match="loaded model"):
        pulled.recalibrate(tmp_path, harmful=[], lookalike=[], task=[])


def test_calibration_of_another_version_is_refused(pulled, target, calibration_for):
    other = calibration_for(
        pulled, vector="acme/guard@0.9.0", digest=f"sha256:{'0' * 64}"
    )

    with pytest.raises(CompatibilityError, match=r"acme/guard@0\.9\.0"):
        pulled.apply(target, other)


def test_calibration_for_another_family_is_refused(pulled, target, calibration_for):
    other = calibration_for(pulled, target_fingerprint=f"sha256:{'0' * 64}")

    with pytest.raises(CompatibilityError, match="family"):
        pulled.apply(target, other)


def test_negative_coefficients_are_applied_on_request_only(
    pulled, target, calibration_for
):
    negated = calibration_for(pulled, coefficients={"0": "-2", "1": "1"})

    with pytest.raises(UsageError, match=r"layer 0: .* got -2"):
        pulled.apply(target, negated)
    with pulled.apply(target, negated, allow_negative=True) as attachment:
        assert attachment.coefficients == {0: -2.0, 1: 1.0}


def test_recalibrate_takes_files_and_finds_the_tokenizer(pulled, target, tmp_path):
    save_checkpoint(target, tmp_path / "target", tokenizer=tiny_tokenizer())
    loaded = type(target).from_pretrained(tmp_path / "target")
    files = {}
    for name in ("harmful", "lookalike", "task"):
        files[name] = tmp_path / f"{name}.jsonl"
        files[name].write_text(
            "".join(
                json.dumps({"prompt": row.prompt, "response": row.response}) + "\n"
                for row in rows(name)
            )
        )
    stages = set()

    calibration = pulled.recalibrate(
        loaded, **files, progress=lambda stage, done, total: stages.add(stage)
    )

    assert calibration.vector == "acme/guard@1.0.0"
    assert calibration.digest == pulled.digest
    assert set(calibration.by_layer) == {0, 1}
    assert float(calibration.realised_kl) <= 0.02
    assert {"before", "uniform"} <= stages
    with pulled.apply(loaded, calibration) as attachment:
        assert attachment.coefficients == calibration.by_layer


def test_a_distilled_vector_gets_a_smaller_budget_unless_told(
    pulled, target, base, tmp_path
):
    vector = random_vector(base)
    recipe = vector.recipe.model_copy(update={"method": "distill"})
    place = tmp_path / "distilled"
    save_vector(
        replace(vector, recipe=recipe), place, namespace="a", name="b", version="1"
    )
    distilled = PulledVector.open(place)
    sets = {name: rows(name) for name in ("harmful", "lookalike", "task")}

    budgets = [
        each.recalibrate(target, tiny_tokenizer(), **sets, **given).budget
        for each, given in (
            (pulled, {}),
            (distilled, {}),
            (distilled, {"budget": 0.01}),
        )
    ]

    assert budgets == ["0.02", "0.005", "0.01"]


def test_effort_is_a_word_or_numbers_of_ones_own(pulled, target):
    sets = {name: rows(name, 60) for name in ("harmful", "lookalike", "task")}

    normal, quick, numbers = (
        pulled.recalibrate(target, tiny_tokenizer(), **sets, effort=effort)
        for effort in ("normal", EffortLevel.QUICK, Effort(48, 48, 8, 28))
    )

    assert quick == numbers
    assert quick.coefficients != normal.coefficients
    assert quick.forward_equivalents < normal.forward_equivalents
    with pytest.raises(UsageError, match="effort: expected one of quick, normal"):
        pulled.recalibrate(target, tiny_tokenizer(), **sets, effort="hard")


def test_recalibrate_without_any_tokenizer_asks_for_one(pulled, target):
    sets = {name: rows(name) for name in ("harmful", "lookalike", "task")}

    with pytest.raises(UsageError, match="tokenizer"):
        pulled.recalibrate(target, **sets)


def test_recalibrate_refuses_strangers_before_it_works(pulled):
    sets = {name: rows(name) for name in ("harmful", "lookalike", "task")}

    with pytest.raises(CompatibilityError, match="do not descend"):
        pulled.recalibrate(tiny_model(seed=9), tiny_tokenizer(), **sets)


def test_recalibrate_names_a_file_it_cannot_read(pulled, target, tmp_path):
    sets = {name: rows(name) for name in ("lookalike", "task")}

    with pytest.raises(InvalidDataError, match=r"nowhere\.jsonl"):
        pulled.recalibrate(
            target, tiny_tokenizer(), harmful=tmp_path / "nowhere.jsonl", **sets
        )


def test_layers_are_ranked_on_a_loaded_model_and_the_best_kept(pulled, target):
    found = pulled.select(
        target,
        tiny_tokenizer(),
        by="contrast",
        harmful=rows("harmful"),
        lookalike=rows("lookalike"),
        keep=1,
    )

    assert len(found.vector.layers) == 1
    assert set(found.vector.layer_scores) == set(pulled.vector.layers)
    assert found.vector.recipe.parameters["selected_by"] == "contrast"


def test_select_keeps_all_layers_unless_told_and_says_what_it_lacks(pulled, target):
    found = pulled.select(target, tiny_tokenizer())

    assert found.vector.layers == pulled.vector.layers
    with pytest.raises(UsageError, match="by score needs prompts, got none"):
        pulled.select(target, tiny_tokenizer(), by="score", keep=1)


def test_select_refuses_a_model_the_vector_does_not_fit(pulled):
    with pytest.raises(CompatibilityError):
        pulled.select(tiny_model("qwen2"), tiny_tokenizer())
