"""What distillation learns from and how: checked before any model is loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from safegene.artifact.calibration import decimal_text
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import DataEntry
from safegene.errors import InvalidDataError, UsageError
from safegene.evaluation.rows import PromptRow

LEAST_PROMPTS = 16
"""Different prompts of a kind; some of them are held back to see what was learnt."""
HELD_BACK_SHARE = 1 / 8
LEAST_HELD_BACK = 4

Answers = Literal["greedy", "sampled"]


@dataclass(frozen=True)
class DistillData:
    """The prompts, by what the vector has to do on them."""

    harmful: tuple[PromptRow, ...]
    """Where it has to match the aligned model. Responses, where given, are safe ones;
    where missing the aligned model answers itself."""
    benign: tuple[PromptRow, ...]
    """Where it has to leave the degraded model as it is: ordinary prompts, and harmless
    ones that look harmful. Missing responses are the degraded model's own."""

    def check(self) -> None:
        """Refuse data from which nothing can be learned.

        Raises:
            InvalidDataError: fewer than 16 different prompts of a kind.
        """
        for name, rows in (("harmful", self.harmful), ("benign", self.benign)):
            count = len({row.prompt for row in rows})
            if count < LEAST_PROMPTS:
                detail = (
                    f"distillation needs at least {LEAST_PROMPTS} different {name}"
                    f" prompts, got {count}; some hundred are advised"
                )
                raise InvalidDataError(detail, **{name: count})

    def entries(self) -> tuple[DataEntry, ...]:
        """Name, digest and size of each set, in the order the rows came in."""
        return (entry_of("harmful", self.harmful), entry_of("benign", self.benign))


def entry_of(name: str, rows: Sequence[PromptRow]) -> DataEntry:
    """Digest and size of rows, for a manifest."""
    content = canonical_json([[row.prompt, row.response] for row in rows])
    return DataEntry(name=name, digest=str(digest_bytes(content)), rows=len(rows))


@dataclass(frozen=True)
class DistillSettings:
    """How to train the factors.

    Raises:
        UsageError: a number is outside what makes sense; the message names it.
    """

    epochs: int = 4
    """Passes over the harmful prompts."""
    steps: int | None = None
    """Stop after so many steps, whatever the epochs; the rates fall until there."""
    learning_rate: float = 1e-3
    """Highest rate of AdamW; reached after the warm-up, then falling to a tenth."""
    warmup_share: float = 0.06
    batch_size: int = 8
    """Harmful prompts a step, and as many benign ones."""
    alpha: float = 16.0
    """The factors count alpha / rank times while they are trained, so that a rate suits
    every rank; it is folded into B at the end."""
    benign_weight: float = 1.0
    """What a nat per token on benign prompts costs beside one on harmful prompts."""
    opening_weight: float = 4.0
    """How much more the first tokens of an answer count than the rest."""
    opening_tokens: int = 3
    """How many tokens are first ones: they decide between refusing and helping."""
    answers: Answers = "greedy"
    """How missing responses are made: the likeliest tokens, or drawn at temperature 1,
    as the divergence of whole answers would have it."""
    answer_tokens: int = 24
    """First tokens of each answer that are looked at."""
    top_k: int | None = 1024
    """Log-probabilities kept of each token's distribution; what is left over is one
    more event, so the KL is a lower bound, exact from the vocabulary's size on. None
    keeps all: two bytes a vocabulary entry and answer token."""

    def __post_init__(self) -> None:
        whole = {
            "epochs": self.epochs,
            "steps": 1 if self.steps is None else self.steps,
            "batch_size": self.batch_size,
            "answer_tokens": self.answer_tokens,
            "top_k": 1 if self.top_k is None else self.top_k,
        }
        for name, count in whole.items():
            if count < 1:
                _refuse(name, "at least 1", count)
        for name, number in (
            ("learning_rate", self.learning_rate),
            ("alpha", self.alpha),
        ):
            if not (math.isfinite(number) and number > 0):
                _refuse(name, "a positive number", number)
        for name, number in (
            ("benign_weight", self.benign_weight),
            ("opening_weight", self.opening_weight),
            ("opening_tokens", self.opening_tokens),
            ("warmup_share", self.warmup_share),
        ):
            if not (math.isfinite(number) and number >= 0):
                _refuse(name, "a number of at least 0", number)
        if self.opening_weight == 0 and self.opening_tokens >= self.answer_tokens:
            _refuse("opening_weight", "more than 0 where all tokens are first ones", 0)
        if self.answers not in get_args(Answers):
            _refuse("answers", " or ".join(get_args(Answers)), self.answers)

    def parameters(self) -> dict[str, str]:
        """The settings as a manifest records them; it holds no floats."""
        return {
            "learning_rate": decimal_text(self.learning_rate),
            "warmup_share": decimal_text(self.warmup_share),
            "batch_size": str(self.batch_size),
            "alpha": decimal_text(self.alpha),
            "benign_weight": decimal_text(self.benign_weight),
            "opening_weight": decimal_text(self.opening_weight),
            "opening_tokens": str(self.opening_tokens),
            "answers": self.answers,
            "answer_tokens": str(self.answer_tokens),
            "top_k": "all" if self.top_k is None else str(self.top_k),
        }


def _refuse(name: str, expected: str, got: object) -> None:
    message = f"distillation: {name}: expected {expected}, got {got}"
    raise UsageError(message)
