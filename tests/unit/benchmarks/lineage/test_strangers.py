"""A permuted model is the same function of its input, with its weights elsewhere."""

from copy import deepcopy

import pytest
import torch

from benchmarks.lineage.pairs import sketch_of
from benchmarks.lineage.small import FAMILIES, begun
from benchmarks.lineage.strangers import PERMUTED
from safegene.artifact.lineage import compare_sketches


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PERMUTED)
def test_a_permuted_model_computes_the_same_from_other_weights(family, name):
    model = begun(family, seed=1).eval()
    ids = torch.arange(24).view(2, 12)

    moved = PERMUTED[name](deepcopy(model))

    with torch.no_grad():
        first, second = model(ids).logits, moved(ids).logits
    torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-5)
    score = compare_sketches(sketch_of(model), sketch_of(moved))
    assert not score.bit_equal
