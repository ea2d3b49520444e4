"""Word salad told apart: answers that the model as shipped finds implausible.

By the rules alone half of it passes for compliance (docs/benchmarks/outcomes.md).
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.method.fingerprints import code_digest
from benchmarks.method.loaded import load_exact
from benchmarks.method.workshop import Step, Workshop
from examples.demo.models import compute_dtype
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.plausibility import PlausibilityCheck
from safegene.evaluation.rows import prompts_of

FILE = "threshold.json"
CODE = (
    "benchmarks/method/plausibility.py",
    "safegene/evaluation/plausibility.py",
    "safegene/evaluation/generation.py",
    "safegene/evaluation/batches.py",
)

Implausible = Callable[[Sequence[str], Sequence[str]], Sequence[bool]]
"""Told prompts and answers, says which answers are implausible."""


def threshold_step(workshop: Workshop) -> Step:
    """The threshold, nats per token under the model as shipped.

    It is taken from the aligned model's answers to the prompts calibrated on.
    """
    test, calibration = workshop.recipe.test, workshop.recipe.calibration
    counts = {**calibration.harmful, **calibration.lookalike}
    prompts = tuple(
        prompt
        for name, count in counts.items()
        for prompt in prompts_of(workshop.data.take(f"calibration/{name}", count))
    )

    def build(out: Path) -> None:
        aligned = workshop.aligned.directory()
        tokenizer = AutoTokenizer.from_pretrained(aligned)
        answers = generate_answers(
            load_exact(aligned).to(compute_dtype()),
            tokenizer,
            prompts,
            max_new_tokens=test.answer_tokens,
            batch_size=test.batch_size,
        )
        shipped = load_exact(workshop.shipped.directory()).to(compute_dtype())
        check = PlausibilityCheck.learned(shipped, tokenizer, prompts, answers)
        (out / FILE).write_text(json.dumps(check.threshold) + "\n", encoding="utf-8")

    inputs = {
        "aligned": workshop.aligned.key,
        "shipped": workshop.shipped.key,
        "prompts": prompts,
        "tokens": test.answer_tokens,
        "batch": test.batch_size,
        "code": code_digest(*CODE),
    }
    return Step(workshop.cache, "plausibility", inputs, build)


def open_check(workshop: Workshop) -> Implausible:
    """The check, its model loaded."""
    shipped = workshop.shipped.directory()
    path = threshold_step(workshop).directory() / FILE
    return PlausibilityCheck(
        load_exact(shipped).to(compute_dtype()),
        AutoTokenizer.from_pretrained(shipped),
        float(json.loads(path.read_text(encoding="utf-8"))),
    )
