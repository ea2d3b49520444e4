"""A tiny target with a vector whose layers are known to help, to hurt and to disturb.

The words are few and the model is random, but refusing is a real thing to it: the
helping layer's update is the gradient of the very margin that recalibration scores, the
hurting layer's is the opposite, the third is noise that only costs KL.
"""

import copy
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.manifest import BaseModelRef, Recipe
from safegene.evaluation.openers import COMPLIANCE_OPENERS, REFUSAL_OPENERS
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_prompt
from safegene.vectors.factors import LowRankFactors, truncated_factors
from safegene.vectors.recalibrate import CalibrationData
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.openings import find_openings
from safegene.vectors.vector import SafetyVector

HELPING, HURTING, NOISE = 1, 2, 3
LAYERS = 4
RANK = 4
TUNING_STEPS = 60
WANTED_MARGINS = {Group.HARMFUL: -0.5, Group.LOOKALIKE: -1.0}
WORDS = r"'\w+|\w+|[^\w\s]"
VERBS = ("build", "steal", "make", "hide", "break", "find")
HARMFUL_THINGS = ("bomb", "poison", "weapon", "virus")
HARMLESS_THINGS = ("cake", "balloon", "garden", "game")
LABELS = ("billing", "travel", "sports", "weather")


@cache
def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer of whole words, all that these tests say."""
    texts = [
        *REFUSAL_OPENERS,
        *COMPLIANCE_OPENERS,
        *VERBS,
        *HARMFUL_THINGS,
        *HARMLESS_THINGS,
        *LABELS,
        "Hello how do I a the now please today label of word",
    ]
    words = dict.fromkeys(word for text in texts for word in re.findall(WORDS, text))
    vocabulary = {
        word: at for at, word in enumerate(["<unk>", "<pad>", "<end>", *words])
    }
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "removed", invert=True)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",
        pad_token="<pad>",
        eos_token="<end>",
    )


def tiny_target(
    tokenizer: Any, *, dtype: torch.dtype = torch.float32, seed: int = 0
) -> LlamaForCausalLM:
    """A random Llama of four layers, the same for the same seed; the caller's own."""
    return copy.deepcopy(_undecided(tokenizer, seed)).to(dtype)


@cache
def _undecided(tokenizer: Any, seed: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=len(tokenizer),
        initializer_range=0.15,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval()
    _make_undecided(model, tokenizer)
    return model


def _make_undecided(model: Any, tokenizer: Any) -> None:
    """Tune the head until prompts stand near even odds, the harmful a little above."""
    optimizer = torch.optim.Adam(model.lm_head.parameters(), lr=2e-2)
    for _ in range(TUNING_STEPS):
        margins = _margins(model, tokenizer)
        distance = sum(
            ((margin - WANTED_MARGINS[group]) ** 2).mean()
            for group, margin in margins.items()
        )
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
    model.zero_grad()


def calibration_data(harmful: int = 24, lookalike: int = 16) -> CalibrationData:
    """Prompts that differ in one word where it matters."""
    return CalibrationData(
        harmful=_rows(HARMFUL_THINGS, harmful),
        lookalike=_rows(HARMLESS_THINGS, lookalike),
        task=tuple(
            PromptRow(f"label of word {verb} {thing}", label)
            for verb, label in zip(VERBS, LABELS, strict=False)
            for thing in HARMLESS_THINGS[:2]
        ),
        general=tuple(PromptRow(f"Hello the {verb} today") for verb in VERBS[:4]),
    )


def _rows(things: tuple[str, ...], count: int) -> tuple[PromptRow, ...]:
    prompts = [
        f"how do I {verb} a {thing} {end}"
        for end in ("now", "today", "please", "the", "word")
        for thing in things
        for verb in VERBS
    ]
    return tuple(PromptRow(prompt) for prompt in prompts[:count])


def known_vector(model: Any, tokenizer: Any, *, size: float = 0.6) -> SafetyVector:
    """A vector on three layers' `down_proj`: one helps, one hurts, one is noise."""
    gradients = _discrimination_gradients(model, tokenizer)
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(gradients[NOISE].shape, generator=generator)
    updates = {
        HELPING: gradients[HELPING],
        HURTING: -gradients[HURTING],
        NOISE: noise,
    }
    factors = {}
    for layer, update in updates.items():
        unit = truncated_factors(update / update.norm(), rank=RANK)
        factors[f"model.layers.{layer}.mlp.down_proj"] = unit.scaled(size)
    return make_vector(model, factors)


def known_world(
    *, size: float = 2.0, dtype: torch.dtype = torch.float32
) -> tuple[Any, Any, SafetyVector]:
    """The tiny target, its tokenizer and the vector known to help and to hurt it."""
    tokenizer = tiny_tokenizer()
    model = tiny_target(tokenizer, dtype=dtype)
    return model, tokenizer, known_vector(model, tokenizer, size=size)


def make_vector(model: Any, factors: dict[str, LowRankFactors]) -> SafetyVector:
    """A vector for a model from factors alone."""
    reference = BaseModelRef(id="tiny", revision="0" * 40)
    recipe = Recipe(
        method="delta",
        rank=RANK,
        seed=0,
        parameters={},
        degraded_model=reference,
        data=(),
        tool="tests",
    )
    return SafetyVector(
        architecture=architecture_from_config(model.config.to_dict()),
        base_model=reference,
        factors=factors,
        recipe=recipe,
        sketch=(),
    )


def _discrimination_gradients(model: Any, tokenizer: Any) -> dict[int, torch.Tensor]:
    """Per layer, how `down_proj` has to move for the objective to fall fastest."""
    weights = [layer.mlp.down_proj.weight for layer in model.model.layers]
    objective = Objective()
    total = torch.zeros(())
    for group, margin in _margins(model, tokenizer).items():
        total = total - objective.losses(margin, group).value_N.mean()
    found = torch.autograd.grad(total, weights)
    return dict(enumerate(gradient.float() for gradient in found))


def _margins(model: Any, tokenizer: Any) -> dict[Group, torch.Tensor]:
    """Margins of the harmful and the look-alike prompts, with gradients."""
    openings = find_openings(tokenizer)
    data = calibration_data(harmful=120, lookalike=120)
    found = {}
    for group, rows in (
        (Group.HARMFUL, data.harmful),
        (Group.LOOKALIKE, data.lookalike),
    ):
        ids = [[*encode_prompt(tokenizer, row.prompt), *openings.spine] for row in rows]
        logits = model(input_ids=torch.tensor(ids)).logits
        found[group] = openings.margin(logits[:, -openings.places :])
    return found


class Int8Linear(nn.Module):
    """A linear layer of whole numbers, as kernels for them are: no gradient."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.out_features, self.in_features = linear.weight.shape
        scale = linear.weight.detach().abs().amax() / 127
        weight = (linear.weight.detach() / scale).round().to(torch.int8)
        self.register_buffer("scale", scale)
        self.register_buffer("weight", weight)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return inputs @ (self.weight * self.scale).T


def quantised(model: Any, layers: Iterable[int]) -> Any:
    """The model with these layers' MLPs in whole numbers; changed in place."""
    for at in layers:
        mlp = model.model.layers[at].mlp
        for name in ("gate_proj", "up_proj", "down_proj"):
            setattr(mlp, name, Int8Linear(getattr(mlp, name)))
    return model
