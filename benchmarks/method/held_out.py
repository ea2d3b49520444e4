"""How far a repair moves the target where it was not calibrated: KL per token.

KL(target ‖ repaired) over the whole vocabulary, teacher forced along the target's own
answers to held-out task and ordinary prompts, averaged over the tokens of each of the
two sets and then over the sets, as recalibration counts it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.method.recipe import KlRows
from safegene.evaluation.batches import inference, sorted_batches, tail_logits
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.rows import PromptRow, prompts_of
from safegene.vectors.chat import encode_pair

BATCH_SIZE = 16
SETS = ("task", "ordinary")


class HeldOut:
    """Remembers what the target itself says; the model must be untouched now.

    Args:
        model: the target.
        tokenizer: its tokenizer.
        rows: prompts of each of the two sets.
        settings: how many tokens.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        rows: dict[str, Sequence[PromptRow]],
        settings: KlRows,
    ) -> None:
        self._rows = [
            (name, ids, start)
            for name in SETS
            for ids, start in _along(model, tokenizer, rows[name], settings.tokens)
        ]
        self._reference = self._log_probabilities(model)

    @property
    def size(self) -> int:
        """Sequences that one measurement runs."""
        return len(self._rows)

    def kl(self, model: Any) -> dict[str, float]:
        """KL of `task`, of `ordinary`, and their `mean`, in nats per token."""
        sums = dict.fromkeys(SETS, 0.0)
        tokens = dict.fromkeys(SETS, 0)
        pairs = zip(self._reference, self._log_probabilities(model), strict=True)
        for (name, _, _), (before, after) in zip(self._rows, pairs, strict=True):
            own, moved = (
                torch.log_softmax(logits.float(), dim=-1) for logits in (before, after)
            )
            kl = functional.kl_div(moved, own, reduction="sum", log_target=True)
            sums[name] += float(kl)
            tokens[name] += len(own)
        found = {name: sums[name] / tokens[name] for name in SETS if tokens[name]}
        return found | {"mean": sum(found.values()) / len(found)}

    def _log_probabilities(self, model: Any) -> list[Tensor]:
        """Of the tokens along every row's answer, [tokens, vocabulary], bfloat16-safe.

        Kept as the model's own logits, so that the untouched model's KL is exactly 0.
        """
        found: list[Tensor] = [torch.empty(0)] * len(self._rows)
        sequences = [ids for _, ids, _ in self._rows]
        with inference(model):
            for batch in sorted_batches(sequences, BATCH_SIZE):
                for at, logits in zip(batch, self._batch(model, batch), strict=True):
                    found[at] = logits
        return found

    def _batch(self, model: Any, batch: Sequence[int]) -> list[Tensor]:
        rows = [self._rows[at] for at in batch]
        keep = max(len(ids) - start for _, ids, start in rows)
        # The last token predicts nothing that is looked at.
        logits = tail_logits(model, [ids[:-1] for _, ids, _ in rows], keep)
        return [
            logits[place, -(len(ids) - start) :].clone()
            for place, (_, ids, start) in enumerate(rows)
        ]


def _along(
    model: Any, tokenizer: Any, rows: Sequence[PromptRow], most: int
) -> list[tuple[list[int], int]]:
    """Prompt and first tokens of the target's own answer."""
    prompts = prompts_of(rows)
    answers = generate_answers(model, tokenizer, prompts, max_new_tokens=most)
    pairs = []
    for prompt, answer in zip(prompts, answers, strict=True):
        ids, start = encode_pair(tokenizer, prompt, answer)
        if len(ids) > start:
            pairs.append((ids[: start + most], start))
    return pairs
