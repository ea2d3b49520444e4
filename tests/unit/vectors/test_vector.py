"""A vector in memory: what it accepts, layers, coefficients."""

from dataclasses import replace

import pytest
import torch
from support.models import random_vector, tiny_model

from safegene.errors import ManifestError, ShapeMismatchError, UsageError
from safegene.vectors.factors import LowRankFactors

Q_PROJ = "model.layers.1.self_attn.q_proj"


@pytest.fixture(name="vector")
def _vector():
    return random_vector(tiny_model())


def test_layers_and_rank_come_from_the_factors(vector):
    assert vector.layers == (0, 1)
    assert vector.rank == 2


def test_selection_leaves_layers_out_and_keeps_scores(vector):
    kept = vector.with_selection({0: 0.5, 1: 0.1}, (0,))

    assert kept.layers == (0,)
    assert kept.layer_scores == {0: 0.5, 1: 0.1}
    assert all(".0." in path for path in kept.factors)
    assert vector.layers == (0, 1)


def test_no_coefficients_mean_one_everywhere_and_a_missing_one_means_zero(vector):
    assert vector.coefficients(None) == {0: 1.0, 1: 1.0}
    assert vector.coefficients({}) == {0: 0.0, 1: 0.0}
    assert vector.coefficients({1: 0.5}) == {0: 0.0, 1: 0.5}


def test_scaling_folds_each_layers_coefficient_into_b(vector):
    scaled = vector.scaled({1: 0.5})

    before, after = vector.factors[Q_PROJ], scaled.factors[Q_PROJ]
    assert torch.equal(after.b_OR, before.b_OR * 0.5)
    assert torch.equal(after.a_RI, before.a_RI)
    first = scaled.factors[Q_PROJ.replace("1", "0")]
    assert torch.count_nonzero(first.b_OR) == 0


def test_scaled_vector_no_longer_carries_the_published_name(vector):
    published = replace(vector, identity="a/b@1.0.0", digest="sha256:" + "0" * 64)

    scaled = published.scaled({1: 0.5})

    assert scaled.identity is None
    assert scaled.digest is None


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_coefficient_that_is_not_finite_is_refused(vector, value):
    with pytest.raises(UsageError, match="layer 1: expected a finite coefficient"):
        vector.coefficients({1: value})


def test_coefficient_for_an_untouched_layer_is_refused(vector):
    with pytest.raises(UsageError, match="layer 7, the vector touches layers 0, 1"):
        vector.coefficients({0: 1.0, 7: 1.0})


def test_module_the_architecture_lacks_is_refused(vector):
    factors = dict(vector.factors) | {"model.layers.9.x": vector.factors[Q_PROJ]}

    with pytest.raises(ManifestError, match=r"no module model\.layers\.9\.x"):
        replace(vector, factors=factors)


def test_factors_that_do_not_fit_their_module_are_refused(vector):
    factors = {Q_PROJ: LowRankFactors(torch.zeros(2, 31), torch.zeros(48, 2))}

    with pytest.raises(ShapeMismatchError, match=Q_PROJ) as caught:
        replace(vector, factors=factors)

    assert caught.value.expected == (48, 32)
    assert caught.value.actual == (48, 31)


def test_vector_that_touches_nothing_is_refused(vector):
    with pytest.raises(ManifestError, match="at least one module"):
        replace(vector, factors={})


def test_module_of_no_layer_is_refused(vector):
    with pytest.raises(ManifestError, match="lm_head belongs to no layer"):
        vector.layer_of("lm_head")
