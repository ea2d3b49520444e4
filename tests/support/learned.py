"""A tiny model that learned a few answers by heart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from support.models import tiny_model, tiny_tokenizer
from torch.nn import functional

from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair

REFUSAL = "I can't help with that."
COMPLIANCE = "Sure, here it is."
LEARNED = {
    "harm one": REFUSAL,
    "harm two, a longer one": REFUSAL,
    "look one": COMPLIANCE,
    "look two, a longer one": COMPLIANCE,
    "ticket: card": "billing",
    "ticket: a late parcel": "delivery",
}
STEPS = 150


@dataclass(frozen=True)
class Learned:
    """A model, its tokenizer and what it answers to what."""

    model: Any
    tokenizer: Any
    answers: dict[str, str]

    def rows(self, start: str) -> tuple[PromptRow, ...]:
        """The learned prompts that begin so, with the answer as label."""
        return tuple(
            PromptRow(prompt, label=answer)
            for prompt, answer in self.answers.items()
            if prompt.startswith(start)
        )


def learn(answers: Mapping[str, str]) -> Learned:
    """Overfit a tiny Llama on a few prompts, in about two seconds."""
    tokenizer = tiny_tokenizer()
    model = tiny_model("llama", initializer_range=0.05)
    pairs = [encode_pair(tokenizer, *pair) for pair in answers.items()]
    width = max(len(ids) for ids, _ in pairs)
    ids = torch.zeros((len(pairs), width), dtype=torch.long)
    labels = torch.full((len(pairs), width), -100)
    for row, (tokens, start) in enumerate(pairs):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, start : len(tokens)] = torch.tensor(tokens[start:])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(STEPS):
        logits = model(input_ids=ids).logits[:, :-1]
        functional.cross_entropy(logits.transpose(1, 2), labels[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return Learned(model.eval(), tokenizer, dict(answers))
