"""Short tuning on prompt-response pairs, made for two CPU cores: LoRA or all weights.

What is trained computes in the model's dtype while the optimizer keeps float32 copies,
the output head runs on response tokens only, and batches hold rows of similar length:
together about half the time of the plain loop.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch.nn import functional
from transformers import AutoModelForCausalLM, AutoTokenizer

from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair

IGNORED = -100
ROWS_PER_BUCKET = 80
"""Rows sorted by length together: enough to save padding, few enough to mix."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Tuning:
    """How to tune: one pass over the rows in batches, linear warm-up, then decay."""

    learning_rate: float
    rank: int = 8
    alpha: int = 16
    batch_size: int = 10
    epochs: int = 1
    warmup_share: float = 0.06
    opening_tokens: int = 3
    """First tokens of an answer, which decide between refusing and helping."""
    opening_weight: float = 1.0
    """How much more these tokens count than the rest."""
    strengths: tuple[float, ...] = (1.0,)
    """The adapter is multiplied by one of these in each step, in turn: a vector made of
    it then keeps its meaning where a target that has it already gets it once more."""
    response_tokens: int | None = None
    """Longer answers are cut here, and then do not teach where an answer ends."""
    frozen: tuple[str, ...] = ()
    """Full tuning leaves parameters alone whose name holds one of these."""
    seed: int = 0


@dataclass(frozen=True)
class Batch:
    """Right-padded token ids, attention mask, labels and the labels' weights.

    Each is [rows, tokens].
    """

    ids: torch.Tensor
    mask: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


def tune_adapter(
    model_directory: Path,
    rows: Sequence[PromptRow],
    tuning: Tuning,
    *,
    dtype: torch.dtype,
    progress: Progress,
) -> Any:
    """Tune a LoRA adapter on every linear layer and return the PEFT model.

    Args:
        model_directory: checkpoint to start from; it is not changed.
        rows: prompts with responses.
        tuning: rank, rate and batch size.
        dtype: what the model computes in.
        progress: called with a label, the steps done and all steps.

    Returns:
        The `PeftModel`, in evaluation mode, adapters unmerged.
    """
    torch.manual_seed(tuning.seed)
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    base = AutoModelForCausalLM.from_pretrained(model_directory, dtype=dtype)
    config = LoraConfig(
        r=tuning.rank,
        lora_alpha=tuning.alpha,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(base, config, autocast_adapter_dtype=False)
    batches = list(_batches(tokenizer, rows, tuning))
    masters = {
        name: parameter.detach().float().clone()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    _optimize(model, masters, batches, tuning, progress)
    return model.eval()


def full_tune(
    model_directory: Path,
    rows: Sequence[PromptRow],
    tuning: Tuning,
    *,
    dtype: torch.dtype,
    progress: Progress,
) -> Any:
    """Tune all weights and return the model in float32.

    Args:
        model_directory: checkpoint to start from; it is not changed.
        rows: prompts with responses.
        tuning: rate and batch size; rank, alpha and strengths do not matter.
        dtype: what the model computes in; the weights themselves stay float32.
        progress: called with a label, the steps done and all steps.
    """
    torch.manual_seed(tuning.seed)
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    model = AutoModelForCausalLM.from_pretrained(model_directory, dtype=torch.float32)
    tune_weights(model, tokenizer, rows, tuning, dtype=dtype, progress=progress)
    return model


def tune_weights(
    model: Any,
    tokenizer: Any,
    rows: Sequence[PromptRow],
    tuning: Tuning,
    *,
    dtype: torch.dtype,
    progress: Progress,
) -> None:
    """Tune all weights of a float32 model in memory; see `full_tune`."""
    exact = {name: part.detach().clone() for name, part in model.named_parameters()}
    model.to(dtype)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not any(part in name for part in tuning.frozen))
    masters = {
        name: exact[name]
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    batches = list(_batches(tokenizer, rows, tuning))
    _optimize(model, masters, batches, tuning, progress)
    model.float()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(exact[name])
    model.eval()


def _optimize(
    model: Any,
    masters_by_name: Mapping[str, torch.Tensor],
    batches: Sequence[Batch],
    tuning: Tuning,
    progress: Progress,
) -> None:
    """Train the named parameters, which change in place."""
    core = model.base_model.model if isinstance(model, PeftModel) else model
    model.train()
    working = [p for name, p in model.named_parameters() if name in masters_by_name]
    masters = [master.requires_grad_() for master in masters_by_name.values()]
    optimizer = torch.optim.AdamW(masters, lr=tuning.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _rate(step, len(batches), tuning.warmup_share)
    )
    scalings = _Scalings(model)
    for number, batch in enumerate(batches, 1):
        scalings.multiply(tuning.strengths[number % len(tuning.strengths)])
        _response_loss(core, batch).backward()
        for master, parameter in zip(masters, working, strict=True):
            master.grad = parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(masters, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            for master, parameter in zip(masters, working, strict=True):
                parameter.copy_(master)
        progress("step", number, len(batches))
    scalings.multiply(1.0)


class _Scalings:
    """The factor by which each module's adapter counts."""

    def __init__(self, model: Any) -> None:
        self._modules = [
            (module, dict(module.scaling))
            for module in model.modules()
            if isinstance(module, LoraLayer)
        ]

    def multiply(self, strength: float) -> None:
        """Count every adapter `strength` times what its configuration says."""
        for module, own in self._modules:
            module.scaling.update(
                {name: strength * value for name, value in own.items()}
            )


def _rate(step: int, steps: int, warmup_share: float) -> float:
    """Share of the learning rate at `step`: up over the warm-up, then down to 10 %."""
    warmup = max(1, round(steps * warmup_share))
    if step < warmup:
        return (step + 1) / warmup
    return max(0.1, (steps - step) / max(1, steps - warmup))


def _response_loss(core: Any, batch: Batch) -> torch.Tensor:
    """Weighted mean negative log-likelihood of the response tokens, in nats."""
    hidden = core.model(input_ids=batch.ids, attention_mask=batch.mask)
    wanted = batch.labels[:, 1:] != IGNORED
    logits = core.lm_head(hidden.last_hidden_state[:, :-1][wanted])
    losses = functional.cross_entropy(
        logits.float(), batch.labels[:, 1:][wanted], reduction="none"
    )
    weights = batch.weights[:, 1:][wanted]
    return (losses * weights).sum() / weights.sum()


def _batches(
    tokenizer: Any, rows: Sequence[PromptRow], tuning: Tuning
) -> Iterator[Batch]:
    shuffler = random.Random(tuning.seed)  # noqa: S311 - reproducible order, no secret
    encoded = [encode_pair(tokenizer, row.prompt, row.response or "") for row in rows]
    most = tuning.response_tokens
    pairs = [(ids[: start + most] if most else ids, start) for ids, start in encoded]
    for _ in range(tuning.epochs):
        order = shuffler.sample(pairs, len(pairs))
        groups: list[list[tuple[list[int], int]]] = []
        for start in range(0, len(order), ROWS_PER_BUCKET):
            bucket = sorted(
                order[start : start + ROWS_PER_BUCKET], key=lambda pair: len(pair[0])
            )
            groups.extend(
                bucket[at : at + tuning.batch_size]
                for at in range(0, len(bucket), tuning.batch_size)
            )
        shuffler.shuffle(groups)
        yield from (_collate(group, tokenizer.pad_token_id, tuning) for group in groups)


def _collate(
    pairs: Sequence[tuple[list[int], int]], pad_id: int, tuning: Tuning
) -> Batch:
    width = max(len(ids) for ids, _ in pairs)
    ids = torch.full((len(pairs), width), pad_id)
    labels = torch.full((len(pairs), width), IGNORED)
    mask = torch.zeros((len(pairs), width), dtype=torch.long)
    weights = torch.ones((len(pairs), width))
    for row, (tokens, response_start) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        labels[row, response_start : len(tokens)] = torch.tensor(
            tokens[response_start:]
        )
        opening = slice(response_start, response_start + tuning.opening_tokens)
        weights[row, opening] = tuning.opening_weight
    return Batch(ids, mask, labels, weights)
