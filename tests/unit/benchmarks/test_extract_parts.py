"""What the extraction benchmark measures against: it must be right itself."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from benchmarks.extract import Problem, difference, energies_of, save_pair
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 16,
}


@pytest.mark.parametrize("signal", [True, False])
def test_least_error_is_the_tail_of_the_spectrum(signal):
    delta = difference((40, 60), signal=signal)
    values = torch.linalg.svdvals(delta.double())

    problem = Problem("any", delta, energies_of(delta))

    assert problem.least_error(5) == pytest.approx(
        float(values[5:].square().sum().sqrt()), rel=1e-6
    )
    assert values[-1] > 1e-3 * values[0], "the difference has full rank"


def test_written_pair_is_two_states_of_one_model_that_transformers_loads(tmp_path):
    architecture = save_pair(tmp_path, SIZES, torch.float32)

    vector = extract_safety_vector(
        Checkpoint.open(tmp_path / "aligned"), Checkpoint.open(tmp_path / "degraded")
    )

    assert list(vector.factors) == [module.path for module in architecture.modules]
    assert float(vector.recipe.parameters["relative_error"]) > 0.1
    _, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "aligned", output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
