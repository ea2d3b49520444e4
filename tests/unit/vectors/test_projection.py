"""Projection: what is guaranteed, what survives, what is recorded and refused.

The guarantee is about the model's own float32 arithmetic, so outputs are compared at
its rounding, and against how much the unprojected vector changes them.
"""

import dataclasses

import pytest
import torch
from support.models import (
    logits_of,
    random_vector,
    tiny_model,
    tiny_tokenizer,
    weight_bytes,
)

from safegene.errors import InvalidDataError, NonFiniteTensorError, UsageError
from safegene.evaluation.rows import PromptRow
from safegene.vectors import projection
from safegene.vectors.attach import attach
from safegene.vectors.chat import encode_pair, encode_prompt
from safegene.vectors.peft_format import load_vector, save_vector
from safegene.vectors.projection import leading_span, project_out

ROUNDING = 1e-4
"""Relative to what the unprojected vector changes: float32 through two layers."""

WIDE = {"hidden_size": 192, "intermediate_size": 240}
"""More dimensions than a few prompts have tokens, or nothing could survive."""

BENIGN = tuple(PromptRow(f"{a}{b}") for a in "bcdf" for b in "aeiou")
HARMFUL = tuple(PromptRow(f"{a} {b}") for a in "ZXWV" for b in "QPRST")


def bare_tokenizer():
    """Without a template prompts are few tokens, and span few dimensions."""
    return tiny_tokenizer(chat=False)


def wide_model(family="llama", **changes):
    return tiny_model(family, **(WIDE | {"head_dim": 12} | changes))


@pytest.fixture(scope="module")
def model():
    return wide_model()


@pytest.fixture(scope="module")
def vector(model):
    return random_vector(model, rank=3, scale=0.2)


def projected(
    vector,
    model,
    *,
    benign=BENIGN,
    harmful=HARMFUL,
    energy=1.0,
    tokenizer=None,
    **options,
):
    return project_out(
        vector,
        model,
        tokenizer or bare_tokenizer(),
        benign=benign,
        harmful=harmful,
        energy=energy,
        **options,
    )


def moved(model, vector, ids):
    """How far a vector moves the logits of a text."""
    ids = torch.tensor([ids])
    plain = logits_of(model, ids)
    with attach(model, vector):
        return float((logits_of(model, ids) - plain).abs().max())


def prompt_ids(row):
    return encode_prompt(bare_tokenizer(), row.prompt)


def shares(vector):
    text = vector.recipe.parameters["surviving_signal_by_layer"]
    return [float(part.split(": ")[1]) for part in text.split(", ")]


def test_with_all_energy_benign_outputs_do_not_change(model, vector):
    found = projected(vector, model)

    for row in BENIGN:
        ids = prompt_ids(row)
        assert moved(model, found, ids) < ROUNDING * moved(model, vector, ids)


def test_the_signal_on_other_inputs_remains(model, vector):
    found = projected(vector, model)

    for row in HARMFUL:
        ids = prompt_ids(row)
        assert moved(model, found, ids) > 0.05 * moved(model, vector, ids)
    assert all(0.05 < share < 1 for share in shares(found))
    assert 0 < float(found.recipe.parameters["surviving_norm"]) < 1


def test_answers_are_in_the_span_only_where_rows_carry_them(model, vector):
    answered = tuple(dataclasses.replace(row, response="ok sure") for row in BENIGN)
    ids = encode_pair(bare_tokenizer(), BENIGN[0].prompt, "ok sure")[0]
    whole = moved(model, vector, ids)

    without, with_answers = (
        moved(model, projected(vector, model, benign=rows), ids)
        for rows in (BENIGN, answered)
    )

    assert with_answers < ROUNDING * whole
    assert without > 0.01 * whole


def test_less_energy_takes_less_away(model, vector):
    found = [projected(vector, model, energy=energy) for energy in (0.5, 0.9, 0.99, 1)]
    norms = [float(part.recipe.parameters["surviving_norm"]) for part in found]
    moves = [moved(model, part, prompt_ids(BENIGN[0])) for part in found]

    assert norms == sorted(norms, reverse=True)
    assert moves == sorted(moves, reverse=True)
    assert moves[2] < 0.5 * moved(model, vector, prompt_ids(BENIGN[0]))


@pytest.mark.parametrize("family", ["qwen2", "gpt_neox"])
def test_other_families_keep_the_guarantee(family):
    own = {} if family == "gpt_neox" else {"num_key_value_heads": 2}
    model = tiny_model(family, **WIDE, **own)
    vector = random_vector(model, rank=3, scale=0.2)

    found = projected(vector, model)

    ids = prompt_ids(BENIGN[3])
    assert moved(model, found, ids) < ROUNDING * moved(model, vector, ids)
    assert float(found.recipe.parameters["surviving_signal"]) > 0.05


def test_surviving_signal_is_measured_on_the_module_inputs(model, vector):
    """Recomputed from inputs caught here, with the projector written out."""
    path = "model.layers.0.self_attn.q_proj"
    caught = []
    hook = model.get_submodule(path).register_forward_pre_hook(
        lambda _, inputs: caught.append(inputs[0][0].double())
    )
    ids = [[prompt_ids(row) for row in rows] for rows in (BENIGN, HARMFUL)]
    for rows in ids:
        for row in rows:
            logits_of(model, torch.tensor([row]))
    hook.remove()
    benign = torch.cat(caught[: len(BENIGN)])
    columns = enumerate(zip(*ids[1], strict=False))
    common = next(at for at, column in columns if len(set(column)) > 1)
    harmful = torch.cat([x[common:] for x in caught[len(BENIGN) :]])
    only = dataclasses.replace(vector, factors={path: vector.factors[path]})

    found = projected(only, model)

    _, sizes, directions = torch.linalg.svd(benign, full_matrices=False)
    span = directions[sizes > 1e-7 * sizes[0]]
    a = vector.factors[path].a_RI.double()
    left = a - a @ span.T @ span
    wanted = (harmful @ left.T).norm() / (harmful @ a.T).norm()
    assert shares(found)[0] == pytest.approx(float(wanted), rel=1e-3)
    change = vector.factors[path].b_OR.double() @ left
    error = (found.factors[path].delta() - change).norm() / change.norm()
    assert error < 1e-5


def test_modules_are_read_in_passes_that_fit_the_memory(model, vector, monkeypatch):
    whole = projected(vector, model)
    seen = []
    monkeypatch.setattr(projection, "MEMORY_BYTES", 8 * 240**2)

    pieces = projected(vector, model, progress=lambda *pace: seen.append(pace))

    passes = 2 * 3  # attention's inputs together, what gate and up read, down's
    assert seen[-1] == (passes * len(BENIGN) + len(HARMFUL),) * 2
    assert pieces.recipe == whole.recipe
    for path, factors in whole.factors.items():
        assert torch.equal(factors.a_RI, pieces.factors[path].a_RI)


def test_what_was_done_is_recorded_beside_the_method(model, vector, tmp_path):
    found = projected(vector, model, energy=0.99)

    parameters = found.recipe.parameters
    assert found.recipe.method == vector.recipe.method
    assert parameters["projection_energy"] == "0.99"
    assert parameters["projected_directions_by_layer"].startswith("0: ")
    assert [entry.name for entry in found.recipe.data] == [
        "projection benign",
        "projection harmful",
    ]
    save_vector(
        found,
        tmp_path / "v",
        namespace="acme",
        name="guard",
        version="1.0.0",
        license="Apache-2.0",
    )
    assert load_vector(tmp_path / "v").recipe == found.recipe


def test_the_model_and_the_vector_stay_as_they_were(model, vector):
    before, factors = weight_bytes(model), dict(vector.factors)
    grads = [parameter.requires_grad for parameter in model.parameters()]

    projected(vector, model)

    assert weight_bytes(model) == before
    assert dict(vector.factors) == factors
    assert [parameter.requires_grad for parameter in model.parameters()] == grads
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_layers_that_selection_left_out_are_not_read(model, vector):
    found = projected(vector.with_selection({}, (1,)), model)

    assert len(shares(found)) == 1
    assert found.layers == (1,)


def test_a_span_of_everything_is_refused():
    narrow = tiny_model()
    last = random_vector(narrow).with_selection({}, (1,))

    with pytest.raises(UsageError, match="of the safety signal is left"):
        projected(last, narrow, tokenizer=tiny_tokenizer())


@pytest.mark.parametrize("energy", [0.0, -1.0, 1.01, float("nan")])
def test_an_energy_that_makes_no_sense_is_refused(model, vector, energy):
    with pytest.raises(UsageError, match="energy above 0 and at most 1"):
        projected(vector, model, energy=energy)


@pytest.mark.parametrize("kind", ["benign", "harmful"])
def test_too_few_prompts_are_refused(model, vector, kind):
    rows = {"benign": BENIGN, "harmful": HARMFUL}[kind][:15]

    with pytest.raises(InvalidDataError, match=f"16 different {kind} prompts, got 15"):
        projected(vector, model, **{kind: rows + rows[:2]})


def test_broken_activations_are_refused(vector):
    broken = wide_model()
    with torch.no_grad():
        broken.model.layers[0].input_layernorm.weight[0] = float("nan")

    with pytest.raises(NonFiniteTensorError, match=r"layers\.0.*NaN or infinity"):
        projected(vector, broken)


def test_leading_span_holds_the_energy_with_fewest_directions():
    basis, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.manual_seed(0)))
    moment = basis @ torch.diag(torch.tensor([6.0, 3.0, 1.0, 0.0])) @ basis.T

    sizes = [
        leading_span(moment.double(), energy, "m").shape[1]
        for energy in (0.5, 0.6001, 0.89, 0.91, 0.9999)
    ]

    assert sizes == [1, 2, 2, 3, 3]
    span = leading_span(moment, 0.5, "m")
    assert torch.allclose(span.abs()[:, 0].float(), basis[:, 0].abs(), atol=1e-5)


def test_no_energy_spans_nothing():
    assert leading_span(torch.zeros(3, 3), 1.0, "m").shape == (3, 0)
