"""The rivals, each on a case whose outcome can be told by hand."""

import pytest
import torch
from support.models import random_vector, tiny_model

from benchmarks.method.rivals.preference import preference_pairs
from benchmarks.method.rivals.projection import (
    SafeLora,
    SafeMerge,
    alignment,
    projector,
    scaled_task,
)
from benchmarks.method.rivals.uniform import dare, noise, uniform
from benchmarks.method.rivals.weights import Models, cosine, seeded
from safegene.evaluation.rows import PromptRow

ALONG, ACROSS = "along.weight", "across.weight"


def two_layers():
    """Safety lies along the first output; one layer's change does, too, one's not."""
    zero = torch.zeros(3, 4)
    safety, task_along, task_across = zero.clone(), zero.clone(), zero.clone()
    safety[0, 0] = 2.0
    task_along[0, 1] = 1.0
    task_across[1, 1] = 3.0
    names = (ALONG, ACROSS)
    return Models(
        target={ALONG: safety + task_along, ACROSS: safety + task_across},
        aligned=dict.fromkeys(names, safety),
        degraded=dict.fromkeys(names, zero),
        linear=names,
    )


def wide(rows=40, columns=50):
    generator = torch.Generator().manual_seed(0)
    aligned = torch.randn(rows, columns, generator=generator)
    zero = torch.zeros(rows, columns)
    return Models(
        target={"w": aligned},
        aligned={"w": aligned},
        degraded={"w": zero},
        linear=("w",),
    )


def test_the_projector_is_the_published_one():
    """V Vᵀ over the norm: for V = 2 e₀e₀ᵀ it is 2 e₀e₀ᵀ, no true projector."""
    safety = torch.zeros(3, 4)
    safety[0, 0] = 2.0
    expected = torch.zeros(3, 3)
    expected[0, 0] = 2.0

    assert torch.equal(projector(safety), expected)
    assert not projector(torch.zeros(3, 4)).any()


def test_a_change_along_safety_has_cosine_one_and_one_across_it_zero():
    assert alignment(two_layers()) == {ACROSS: 0.0, ALONG: pytest.approx(1.0)}


def test_safe_lora_takes_away_what_lies_across_first():
    models = two_layers()
    rival = SafeLora(models)

    assert rival.delta(0.0) == {}
    half = rival.delta(0.5)
    assert list(half) == [ACROSS]
    assert torch.equal(models.target[ACROSS] + half[ACROSS], models.aligned[ACROSS])


def test_safe_lora_rescales_what_lies_along():
    models = two_layers()

    change = SafeLora(models).delta(1.0)[ALONG]

    # C = 2 e₀e₀ᵀ doubles the change of 1, as the published matrix does.
    assert torch.equal(models.task(ALONG) + change, 2 * models.task(ALONG))


@pytest.mark.parametrize(("threshold", "share"), [(-0.1, 0.0), (0.35, 0.5), (1.1, 1.0)])
def test_a_threshold_is_a_share_of_layers(threshold, share):
    assert SafeLora(two_layers()).share_below(threshold) == share


def test_safe_merge_mixes_only_layers_below_the_threshold():
    models = two_layers()
    safe = {name: torch.full((3, 4), 0.5) for name in models.linear}
    rival = SafeMerge(models, safe, threshold=0.35)

    change = rival.delta(0.25)

    assert list(change) == [ACROSS]
    mixed = models.task(ACROSS) + change[ACROSS]
    assert torch.allclose(mixed, 0.75 * models.task(ACROSS) + 0.25 * safe[ACROSS])


def test_scaling_the_task_down_ends_at_the_aligned_model():
    models = two_layers()
    rival = scaled_task(models)

    for name in models.target:
        back = models.target[name] + rival.delta(1.0)[name]
        assert torch.allclose(back, models.aligned[name])
        half = models.target[name] + rival.delta(0.5)[name]
        assert torch.allclose(half, models.aligned[name] + models.task(name) / 2)
    assert rival.bytes_shipped == 0


def test_uniform_is_the_vector_times_one_number():
    vector = random_vector(tiny_model())
    rival = uniform(vector)

    change = rival.delta(0.3)

    assert set(change) == {f"{path}.weight" for path in vector.factors}
    for path, part in vector.factors.items():
        assert torch.allclose(change[f"{path}.weight"], 0.3 * part.delta())


def test_dare_drops_nine_of_ten_and_keeps_the_mean():
    models = wide(200, 300)
    change = dare(models, drop=0.9).delta(1.0)["w"]
    kept = change != 0

    assert 0.09 < kept.float().mean() < 0.11
    assert torch.allclose(change[kept], 10 * models.safety("w")[kept], rtol=1e-4)


def test_dare_is_the_same_in_every_call_and_another_for_another_seed():
    models = wide()
    first, again, other = (
        dare(models, drop=0.5, seed=seed).delta(1.0)["w"] for seed in (0, 0, 1)
    )

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dare_without_dropping_is_the_whole_difference():
    models = wide()
    rival = dare(models, drop=0.0)

    assert torch.equal(rival.delta(1.0)["w"], models.safety("w"))
    assert rival.bytes_shipped == 40 * 50 * 6


@pytest.mark.parametrize("drop", [-0.1, 1.0])
def test_dare_refuses_to_drop_everything(drop):
    with pytest.raises(ValueError, match="share from 0 to below 1"):
        dare(wide(), drop=drop)


def test_noise_has_the_norms_of_the_vector_and_nothing_else_of_it():
    vector = random_vector(tiny_model())
    change = noise(vector, seed=4).delta(1.0)

    for path, part in vector.factors.items():
        drawn = change[f"{path}.weight"]
        assert float(drawn.norm()) == pytest.approx(part.norm(), rel=1e-4)
        assert abs(cosine(drawn, part.delta())) < 0.5


def test_every_weight_has_a_seed_of_its_own():
    """Even names of the same letters."""
    draws = [
        float(torch.rand(1, generator=seeded(0, name)))
        for name in ("layers.12.w", "layers.21.w")
    ]

    assert draws[0] != draws[1]


def test_the_cosine_of_nothing_is_zero():
    assert cosine(torch.zeros(2, 2), torch.ones(2, 2)) == 0.0


def test_dpo_prefers_the_safe_answer_and_leaves_equal_ones_out():
    rows = tuple(PromptRow(f"prompt {at}", "I can't.") for at in range(3))

    pairs = preference_pairs(rows, ["Sure.", " I can't. ", ""])

    assert pairs == [
        {
            "prompt": [{"role": "user", "content": "prompt 0"}],
            "chosen": [{"role": "assistant", "content": "I can't."}],
            "rejected": [{"role": "assistant", "content": "Sure."}],
        }
    ]
