"""Gradients, KL and Fisher matrix of a real (tiny) model, against slow references."""

from contextlib import contextmanager

import pytest
import torch
from support.recalibration import (
    calibration_data,
    known_vector,
    tiny_target,
    tiny_tokenizer,
)

from safegene.errors import NonFiniteTensorError
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate import forward
from safegene.vectors.recalibrate.forward import (
    LEAST_PREFIX,
    LIVE_TOKENS,
    Runner,
    TokenRow,
    common_beginning,
    steady,
)
from safegene.vectors.recalibrate.kl import Behavior
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.samples import Effort, draw_samples
from safegene.vectors.recalibrate.target import Target

POINT = torch.tensor([0.7, 0.3, 1.1], dtype=torch.float64)
ZERO = torch.zeros(3, dtype=torch.float64)
BATCH_TOLERANCE = 2e-5
"""Float32 sums in another order: rows are padded differently."""
LABEL_DRAWS = 300
DRAW_TOLERANCE = 0.15
"""Relative error of a Fisher matrix from that many labels a token."""


@contextmanager
def _world(batch_size: int = 16, *, vector_size: float = 2.0, broken: bool = False):
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer)
    vector = known_vector(model, tokenizer, size=vector_size)
    samples = draw_samples(model, tokenizer, calibration_data(), Effort(), seed=0)
    if broken:
        model.lm_head.weight.data.fill_(float("nan"))
    with steady(model), attach(model, vector, {}) as attachment:
        runner = Runner(model, attachment, vector.layers, batch_size=batch_size)
        yield model, attachment, vector, samples, runner


@pytest.mark.parametrize("point", [ZERO, POINT], ids=["zero", "inside"])
def test_per_row_gradients_equal_a_loop_over_single_rows(point):
    with _world() as (model, attachment, _, samples, runner):
        scored = samples.scored
        margins, gradients = scored.margin_gradients(runner, Group.HARMFUL, point)

        for at, ids in enumerate(scored.prompts[Group.HARMFUL][:8]):
            row = torch.tensor([[*ids, *scored.openings.spine]])
            live = point.float().requires_grad_()
            with attachment.live_coefficients(live):
                logits = model(input_ids=row).logits[:, -scored.openings.places :]
            margin = scored.openings.margin(logits).sum()
            (alone,) = torch.autograd.grad(margin, live)

            assert float(margins[at]) == pytest.approx(float(margin.detach()), abs=1e-4)
            assert torch.allclose(
                gradients[:, at].float(), alone, atol=BATCH_TOLERANCE, rtol=1e-3
            )


def test_margins_without_gradients_are_those_of_set_coefficients():
    with _world() as (_, _, _, samples, runner):
        plain = samples.scored.margins(runner, POINT)
        live, _ = samples.scored.margin_gradients(runner, Group.LOOKALIKE, POINT)

    assert torch.allclose(plain[Group.LOOKALIKE].double(), live, atol=1e-4)


def test_objective_gradient_equals_finite_differences():
    objective = Objective()
    step = 1e-2
    with _world() as (_, _, _, samples, runner):
        pulls = samples.scored.pulls(runner, objective, POINT)
        for layer in range(3):
            move = torch.zeros(3, dtype=torch.float64)
            move[layer] = step
            above = objective.value(samples.scored.margins(runner, POINT + move))
            below = objective.value(samples.scored.margins(runner, POINT - move))

            slope = (above - below) / (2 * step)
            assert float(pulls.gradient[layer]) == pytest.approx(slope, abs=2e-3)

    assert float(torch.linalg.eigvalsh(pulls.curvature_SS).min()) > -1e-9


def test_kl_equals_the_definition_token_by_token():
    with _world() as (model, attachment, vector, samples, runner):
        behavior = Behavior(runner, samples.behavior)
        behavior.record(seed=0, draws=1)
        measured = behavior.kl(POINT)

        expected, weights = 0.0, 0.0
        for row in samples.behavior:
            ids = torch.tensor([row.ids])
            places = slice(row.response_start - 1, len(row.ids) - 1)
            with torch.no_grad():
                attachment.enabled = False
                own = model(input_ids=ids).logits[0, places].double().log_softmax(-1)
                attachment.enabled = True
                values = POINT.tolist()
                attachment.set_coefficients(
                    dict(zip(vector.layers, values, strict=True))
                )
                moved = model(input_ids=ids).logits[0, places].double().log_softmax(-1)
            expected += row.weight * float((own.exp() * (own - moved)).sum())
            weights += row.weight * len(row.response)

    assert weights == pytest.approx(1.0)
    assert expected > 0.01
    assert measured == pytest.approx(expected, rel=1e-3)


def test_kl_of_the_untouched_target_is_zero():
    with _world() as (_, _, _, samples, runner):
        behavior = Behavior(runner, samples.behavior)
        behavior.record(seed=0, draws=1)

        assert behavior.kl(ZERO) == pytest.approx(0.0, abs=1e-6)
        assert float(behavior.gradient(ZERO).abs().max()) < 1e-4


def test_kl_gradient_equals_finite_differences():
    step = 1e-2
    with _world() as (_, _, _, samples, runner):
        behavior = Behavior(runner, samples.behavior)
        behavior.record(seed=0, draws=1)
        gradient = behavior.gradient(POINT)
        for layer in range(3):
            move = torch.zeros(3, dtype=torch.float64)
            move[layer] = step
            slope = (behavior.kl(POINT + move) - behavior.kl(POINT - move)) / (2 * step)

            assert float(gradient[layer]) == pytest.approx(slope, rel=0.02, abs=1e-4)


def test_fisher_matrix_is_the_curvature_of_the_kl():
    small = 0.05
    with _world() as (_, _, _, samples, runner):
        behavior = Behavior(runner, samples.behavior)
        fisher = behavior.record(seed=0, draws=LABEL_DRAWS)
        # The KL's gradient is linear near 0, and F is its matrix.
        curvature = torch.stack(
            [behavior.gradient(small * unit) / small for unit in torch.eye(3).double()]
        )

    scale = float(curvature.diagonal().max())
    assert float((fisher - curvature).abs().max()) < DRAW_TOLERANCE * scale
    assert float(torch.linalg.eigvalsh(fisher).min()) > 0


def test_fisher_matrix_repeats_with_the_seed_and_ignores_the_global_one():
    with _world() as (_, _, _, samples, runner):
        first = Behavior(runner, samples.behavior).record(seed=3, draws=2)
        torch.manual_seed(999)
        again = Behavior(runner, samples.behavior).record(seed=3, draws=2)
        other = Behavior(runner, samples.behavior).record(seed=4, draws=2)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_broken_target_is_named_before_anything_is_applied():
    with (
        _world(broken=True) as (_, _, _, samples, runner),
        pytest.raises(NonFiniteTensorError, match="NaN"),
    ):
        Behavior(runner, samples.behavior).record(seed=0, draws=1)


def test_work_counts_a_forward_once_and_a_backward_twice():
    rows = [TokenRow((3, 4, 5), 1)] * 5
    with _world(batch_size=2) as (_, _, _, _, runner):
        list(runner.run(rows, ZERO))
        assert runner.work == 5

        for batch in runner.run_live(rows, ZERO):
            runner.per_row_gradients(batch, batch.logits_NKV.sum(dim=(1, 2)))
        assert runner.work == 5 + 15


def test_a_score_with_its_slope_ahead_is_the_same_and_runs_less():
    with _world() as (_, _, _, samples, runner):
        target = Target(runner, samples, Objective())
        target.record(seed=0, draws=1, progress=lambda done, total: None)

        def look(*, ahead):
            begin = runner.work
            score, slope = target.score(POINT, ahead=ahead), target.slope(POINT)
            return score, slope, runner.work - begin

        apart, apart_slope, work = look(ahead=False)
        together, together_slope, less = look(ahead=True)
        elsewhere = target.slope(POINT / 2)

    assert together.total == pytest.approx(apart.total, abs=1e-4)
    assert together.check == pytest.approx(apart.check, abs=1e-4)
    assert torch.allclose(together_slope.gradient_S, apart_slope.gradient_S)
    assert not torch.allclose(elsewhere.gradient_S, apart_slope.gradient_S)
    assert less == work - sum(len(ids) for ids in samples.fit.prompts.values())


def test_long_rows_are_differentiated_few_at_a_time():
    """Until the backward pass every layer keeps what it computed for them."""
    lengths = (3, LIVE_TOKENS + 5, LIVE_TOKENS // 2, LIVE_TOKENS // 2, 4)
    rows = [
        TokenRow(tuple(1 + at % 9 for at in range(length)), 1) for length in lengths
    ]
    with _world() as (_, _, _, _, runner):
        together = {}
        for batch in runner.run_live(rows, POINT):
            value = batch.logits_NKV[:, -1, 5]
            gradient = runner.per_row_gradients(batch, value)
            together[tuple(batch.indices)] = gradient
        alone = {
            at: runner.per_row_gradients(batch, batch.logits_NKV[:, -1, 5])[:, 0]
            for at, row in enumerate(rows)
            for batch in runner.run_live([row], POINT)
        }

    assert [*together] == [(1,), (2, 3), (4, 0)]
    for indices, gradient in together.items():
        for at, index in enumerate(indices):
            assert torch.allclose(
                gradient[:, at], alone[index], atol=BATCH_TOLERANCE, rtol=1e-3
            )


def test_labels_do_not_depend_on_what_is_differentiated_together(monkeypatch):
    with _world() as (_, _, _, samples, runner):
        many = Behavior(runner, samples.behavior).record(seed=0, draws=2)
        monkeypatch.setattr(forward, "LIVE_TOKENS", 1)
        single = Behavior(runner, samples.behavior).record(seed=0, draws=2)

    assert torch.allclose(many, single, rtol=1e-3, atol=BATCH_TOLERANCE)


def test_batches_of_other_sizes_give_the_same_margins():
    with _world(batch_size=3) as (_, _, _, samples, runner):
        small = samples.scored.margins(runner, POINT)
    with _world(batch_size=50) as (_, _, _, samples, runner):
        large = samples.scored.margins(runner, POINT)

    for group, margins in small.items():
        assert torch.allclose(margins, large[group], atol=1e-4)


def test_shared_beginning_runs_once_and_changes_nothing():
    with _world() as (_, _, _, samples, runner):
        rows = [
            TokenRow((5, 6, 7, 8, 9, *row.ids), row.keep)
            for row in samples.scored.rows(Group.HARMFUL)
        ]
        shared = common_beginning(rows)
        whole = {
            index: batch.logits_NKV[at].detach()
            for batch in runner.run_live(rows, POINT)
            for at, index in enumerate(batch.indices)
        }
        for indices, logits in runner.run(rows, POINT):
            for at, index in enumerate(indices):
                assert torch.allclose(logits[at], whole[index], atol=1e-4)

    assert len(shared) >= LEAST_PREFIX


def test_common_beginning_leaves_out_what_is_looked_at():
    rows = [TokenRow((1, 2, 3, 4, 5), 1), TokenRow((1, 2, 3, 4), 2)]

    assert common_beginning(rows) == (1, 2)
    assert common_beginning([*rows, TokenRow((1, 9, 3, 4), 1)]) == (1,)
    assert common_beginning([TokenRow((1, 2), 2)]) == ()
    assert common_beginning([]) == ()
