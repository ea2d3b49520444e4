"""The runner on every kind of target: fused, transposed, sliding, task adapter on."""

import peft
import pytest
import torch
from support.models import ALL_FAMILIES, logits_of, random_vector, tiny_model

from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.forward import Runner, TokenRow, steady

SAME = 5e-4
"""Absolute, on logits of order one: float32 sums in another order, padded rows."""
STEP = 5e-3
"""Of the finite differences; a larger one sees curvature, a smaller one rounding."""
SLOPE = 0.03
"""Norm of the error of the finite differences in float32, by norm of the gradient."""
SHARED = (5, 9, 13, 21, 34)
"""What every row begins with: long enough to be run once and cached."""
# The longest row is beyond the sliding window of the tiny Gemma models.
ROWS = [
    TokenRow((*SHARED, 40, 41, 42, 43, 44, 45, 46, 47, 48), 2),
    TokenRow((*SHARED, 50, 51), 1),
    TokenRow((*SHARED, 60, 61, 62, 63), 3),
]


def _target(family, *, tuned):
    model = tiny_model(family)
    if not tuned:
        return model
    config = peft.LoraConfig(
        r=4,
        lora_alpha=6,
        target_modules="all-linear",
        init_lora_weights=False,
        fan_in_fan_out=family == "gpt2",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(11)
        return peft.get_peft_model(model, config).eval()


TARGETS = [(family, tuned) for family in ALL_FAMILIES for tuned in (False, True)]


@pytest.mark.parametrize(("family", "tuned"), TARGETS)
def test_batched_rows_with_a_cached_beginning_equal_rows_on_their_own(family, tuned):
    model, vector = _target(family, tuned=tuned), random_vector(tiny_model(family))
    point = torch.tensor([0.5, 1.25])
    with attach(model, vector, {0: 0.5, 1: 1.25}):
        wanted = [logits_of(model, torch.tensor([row.ids])) for row in ROWS]

    with attach(model, vector, {}) as attachment:
        runner = Runner(model, attachment, vector.layers, batch_size=2)
        found = list(runner.run(ROWS, point))

    seen = []
    for indices, logits in found:
        for at, index in enumerate(indices):
            keep = ROWS[index].keep
            alone = wanted[index][0, -keep:]
            assert torch.allclose(logits[at, -keep:], alone, atol=SAME)
            seen.append(index)
    assert sorted(seen) == [0, 1, 2]


@pytest.mark.parametrize(("family", "tuned"), TARGETS)
def test_every_rows_gradient_by_its_own_coefficients_is_the_true_one(family, tuned):
    model, vector = _target(family, tuned=tuned), random_vector(tiny_model(family))
    point = torch.tensor([0.5, 1.25])

    def value(logits):
        return torch.logsumexp(2 * logits[:, -1], dim=-1)

    def values(runner, at):
        found = torch.zeros(len(ROWS))
        for indices, logits in runner.run(ROWS, at):
            found[indices] = value(logits)
        return found

    with steady(model), attach(model, vector, {}) as attachment:
        runner = Runner(model, attachment, vector.layers, batch_size=2)
        gradient = torch.zeros(2, len(ROWS), dtype=torch.float64)
        for batch in runner.run_live(ROWS, point):
            moves = runner.per_row_gradients(batch, value(batch.logits_NKV))
            gradient[:, batch.indices] = moves
        slopes = []
        for row in STEP * torch.eye(2):
            slopes.append(values(runner, point + row) - values(runner, point - row))
    slope = torch.stack(slopes).double() / (2 * STEP)

    assert (slope - gradient).norm() < SLOPE * gradient.norm()
    assert gradient.abs().min() > 0
