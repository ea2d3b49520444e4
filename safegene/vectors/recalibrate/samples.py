"""What recalibration learns from: checked, thinned, tokenized and split.

Harmful and look-alike prompts are scored; task and ordinary prompts with responses are
what the target's behavior is measured on, and a few of them are scored, too. Scored
prompts fall in two parts: gradients see the larger one, and steps must not do worse on
the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import DataEntry
from safegene.errors import InvalidDataError
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.rows import PromptRow
from safegene.vectors.chat import encode_pair, encode_prompt
from safegene.vectors.recalibrate.gradients import ScoredPrompts
from safegene.vectors.recalibrate.kl import BehaviorRow
from safegene.vectors.recalibrate.objective import Group
from safegene.vectors.recalibrate.openings import Openings, find_openings

LEAST_HARMFUL = 16
"""Below, no coefficient can be told from chance."""
ADVISED_HARMFUL = 100
"""Below, a warning says how many more are needed."""
LEAST_LOOKALIKE = 16
"""Below, nobody can tell whether harmless prompts are refused."""
ADVISED_LOOKALIKE = 64
"""Below, a warning says how many more are needed. Fewer than harmful ones: over-refusal
is to be held, not to be won."""


@dataclass(frozen=True)
class CalibrationData:
    """The prompts of one target, by kind."""

    harmful: tuple[PromptRow, ...]
    """Harmful-looking prompts; safe responses, where given, teach how refusals open."""
    lookalike: tuple[PromptRow, ...]
    """Harmless prompts that look harmful."""
    task: tuple[PromptRow, ...]
    """What the target is for; responses missing are the target's own answers."""
    general: tuple[PromptRow, ...] = ()
    """Ordinary prompts of other kinds."""

    def sets(self) -> dict[str, tuple[PromptRow, ...]]:
        """The sets that hold rows, by name."""
        named = {
            "harmful": self.harmful,
            "lookalike": self.lookalike,
            "task": self.task,
            "general": self.general,
        }
        return {name: rows for name, rows in named.items() if rows}

    def entries(self) -> tuple[DataEntry, ...]:
        """Name, digest and size of each set, in the order the rows came in."""
        return tuple(
            DataEntry(
                name=name,
                digest=str(
                    digest_bytes(
                        canonical_json([[row.prompt, row.response] for row in rows])
                    )
                ),
                rows=len(rows),
            )
            for name, rows in self.sets().items()
        )


@dataclass(frozen=True)
class Effort:
    """How much data each pass reads: what the time goes into."""

    harmful: int = 96
    """Most harmful prompts scored in a pass."""
    lookalike: int = 96
    ordinary: int = 16
    """Most task and ordinary prompts scored."""
    behavior: int = 56
    """Most rows the KL is measured on, shared by task and ordinary prompts."""
    response_tokens: int = 12
    """First tokens of each response that are looked at."""
    fit_share: float = 2 / 3
    """Share of the scored prompts that gradients see."""
    fisher_draws: int = 1
    """Labels sampled for each token."""
    batch_size: int = 16


@dataclass(frozen=True)
class Samples:
    """Everything that is run through the target."""

    scored: ScoredPrompts
    """All scored prompts."""
    fit: ScoredPrompts
    """Those that gradients see."""
    check: ScoredPrompts
    """The rest; in `scored` they follow those."""
    behavior: tuple[BehaviorRow, ...]
    generated: int
    """Responses the target had to write itself."""


def check_data(data: CalibrationData) -> None:
    """Refuse data from which nothing can be learned.

    Raises:
        InvalidDataError: fewer than 16 different harmful prompts, no look-alike
            prompts, or neither task nor ordinary ones.
    """
    count = len({row.prompt for row in data.harmful})
    if count < LEAST_HARMFUL:
        detail = (
            f"recalibration needs at least {LEAST_HARMFUL} different harmful prompts,"
            f" got {count}; {ADVISED_HARMFUL} or more are advised"
        )
        raise InvalidDataError(detail, harmful=count)
    if not data.lookalike:
        detail = (
            "recalibration needs look-alike harmless prompts, got none; without them"
            " the best coefficients would be those that refuse everything"
        )
        raise InvalidDataError(detail, lookalike=0)
    if not data.task and not data.general:
        detail = (
            "recalibration needs task prompts to keep the target's behavior within the"
            " budget, got neither task nor general ones"
        )
        raise InvalidDataError(detail, task=0)


def draw_samples(
    model: Any, tokenizer: Any, data: CalibrationData, effort: Effort, *, seed: int
) -> Samples:
    """Thin, tokenize and split the data; the target answers where responses miss.

    Args:
        model: the target, nothing attached.
        tokenizer: its tokenizer.
        data: checked.
        effort: how much of it to take.
        seed: of what is taken and how it is split.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = {
        Group.HARMFUL: _some(data.harmful, effort.harmful, generator),
        Group.LOOKALIKE: _some(data.lookalike, effort.lookalike, generator),
        Group.ORDINARY: _ordinary(data, effort.ordinary, generator),
    }
    openings = _openings(tokenizer, data)
    behavior, generated = _behavior(model, tokenizer, data, effort, generator)
    prompts = {
        group: [tuple(encode_prompt(tokenizer, row.prompt)) for row in rows]
        for group, rows in chosen.items()
    }
    # Rows were drawn in random order, so any split by place is a random one.
    cuts = {
        group: max(1, round(effort.fit_share * len(ids)))
        for group, ids in prompts.items()
    }
    return Samples(
        scored=ScoredPrompts(openings, prompts),
        fit=ScoredPrompts(openings, {g: ids[: cuts[g]] for g, ids in prompts.items()}),
        check=ScoredPrompts(
            openings, {g: ids[cuts[g] :] for g, ids in prompts.items()}
        ),
        behavior=behavior,
        generated=generated,
    )


def _openings(tokenizer: Any, data: CalibrationData) -> Openings:
    harmless = (*data.lookalike, *data.task, *data.general)
    return find_openings(
        tokenizer,
        safe_answers=[row.response for row in data.harmful if row.response],
        harmless_answers=[row.response for row in harmless if row.response],
    )


def _ordinary(
    data: CalibrationData, count: int, generator: torch.Generator
) -> list[PromptRow]:
    """Half ordinary, half task prompts, as far as there are enough of each."""
    general = _some(data.general, count, generator)
    task = _some(data.task, count, generator)
    of_general = min(len(general), max(count // 2, count - len(task)))
    both = general[:of_general] + task[: count - of_general]
    return _some(both, count, generator)


def _behavior(
    model: Any,
    tokenizer: Any,
    data: CalibrationData,
    effort: Effort,
    generator: torch.Generator,
) -> tuple[tuple[BehaviorRow, ...], int]:
    """Rows to measure the KL on, and how many responses had to be generated."""
    sets = [rows for rows in (data.task, data.general) if rows]
    found: list[BehaviorRow] = []
    generated = 0
    for rows in sets:
        picked = _some(rows, max(1, effort.behavior // len(sets)), generator)
        pairs = _pairs(model, tokenizer, picked, effort.response_tokens)
        generated += sum(not row.response for row in picked)
        tokens = sum(len(ids) - start for ids, start in pairs)
        weight = 1 / (len(sets) * max(1, tokens))
        found += [BehaviorRow(tuple(ids), start, weight) for ids, start in pairs]
    return tuple(found), generated


def _pairs(
    model: Any, tokenizer: Any, rows: Sequence[PromptRow], most: int
) -> list[tuple[list[int], int]]:
    """Prompt and first tokens of the response; the target's own answer if none."""
    silent = [row.prompt for row in rows if not row.response]
    own = iter(generate_answers(model, tokenizer, silent, max_new_tokens=most))
    pairs = []
    for row in rows:
        ids, start = encode_pair(tokenizer, row.prompt, row.response or next(own))
        # A tokenizer without an end token gives an empty answer no token at all.
        if len(ids) > start:
            pairs.append((ids[: start + most], start))
    return pairs


def _some(
    rows: Sequence[PromptRow], count: int, generator: torch.Generator
) -> list[PromptRow]:
    """At most `count` rows, in random order."""
    order = torch.randperm(len(rows), generator=generator).tolist()
    return [rows[at] for at in order[:count]]
