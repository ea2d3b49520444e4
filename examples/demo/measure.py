"""Measures the demo's models; evaluations are kept by content."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.demo.cache import StepCache, source_digest
from examples.demo.console import Console
from examples.demo.models import compute_dtype
from safegene.evaluation.evaluate import EvaluationSuite, evaluate_model
from safegene.evaluation.evaluation import Evaluation

EVALUATION_NAME = "evaluation.json"
BATCH_SIZE = 32
"""A sixth faster than the default on two cores, for twice the memory."""
CORE = Path(__file__).resolve().parents[2] / "safegene"
CORE_DIGEST = source_digest(
    CORE / "evaluation", CORE / "vectors", Path(__file__).with_name("models.py")
)
"""Of all code that calibrates and measures: a change anywhere in it counts."""

Attach = Callable[[Any], AbstractContextManager[Any]]


def as_is(_: Any) -> AbstractContextManager[Any]:
    """Attach nothing."""
    return nullcontext()


@dataclass(frozen=True)
class Measurement:
    """How every model is measured."""

    suite: EvaluationSuite
    answer_tokens: int
    cache: StepCache
    console: Console

    def of(
        self,
        name: str,
        load: Callable[[], tuple[Any, Any]],
        inputs: Mapping[str, object],
        attach: Attach = as_is,
    ) -> tuple[Evaluation, float]:
        """Evaluate a model unless the same one was evaluated before.

        Args:
            name: what to call it.
            load: gives the model and its tokenizer.
            inputs: keys of everything the model is made of.
            attach: puts a vector on the model for the time of the evaluation.

        Returns:
            The evaluation, and the seconds it took when it was made.
        """
        facts = {
            **inputs,
            "suite": repr(self.suite),
            "tokens": self.answer_tokens,
            "batch": BATCH_SIZE,
            "dtype": str(compute_dtype()),
            "code": CORE_DIGEST,
        }
        result = self.cache.run(
            f"evaluation-{name}",
            facts,
            lambda out: self._evaluate(name, load, attach, out),
        )
        text = (result.directory / EVALUATION_NAME).read_text(encoding="utf-8")
        return Evaluation.from_json(text), result.seconds

    def _evaluate(
        self,
        name: str,
        load: Callable[[], tuple[Any, Any]],
        attach: Attach,
        out: Path,
    ) -> None:
        model, tokenizer = load()
        with attach(model):
            found = evaluate_model(
                model,
                tokenizer,
                self.suite,
                max_new_tokens=self.answer_tokens,
                batch_size=BATCH_SIZE,
                margins=False,
                progress=lambda what, done, total: self.console.progress(
                    f"{name}: {what}", done, total
                ),
            )
        (out / EVALUATION_NAME).write_text(found.to_json(), encoding="utf-8")
