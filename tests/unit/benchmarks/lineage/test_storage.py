"""What comes back from fewer bits is near what went in, and no nearer than it can."""

import pytest
import torch

from benchmarks.lineage.storage import STORED

FARTHEST = {
    "float32": 0.0,
    "bfloat16": 2**-8,
    "float16": 2**-11,
    "int8": 0.01,
    "int4": 0.16,
    "GGUF Q8_0": 0.01,
    "GGUF Q4_0": 0.16,
}
"""Greatest error, in units of the largest weight."""


@pytest.mark.parametrize("storage", STORED)
def test_weights_come_back_as_near_as_the_bits_allow(storage):
    weight = torch.randn(32, 128, generator=torch.Generator().manual_seed(1))

    back = STORED[storage](weight)

    error = float((back - weight).abs().max() / weight.abs().max())
    assert back.shape == weight.shape
    assert error <= FARTHEST[storage]
    assert (error == 0) == (storage == "float32")
