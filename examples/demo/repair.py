"""Recalibrates the pulled vector for the target and measures every model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safegene_client import PulledVector
from transformers import AutoTokenizer

from examples.demo.cache import Result, StepCache
from examples.demo.console import Console
from examples.demo.data import DemoData, write_rows
from examples.demo.measure import CORE_DIGEST, Attach, Measurement, as_is
from examples.demo.models import load_model
from examples.demo.recipe import Recipe
from safegene.artifact.calibration import CALIBRATION_NAME, Calibration
from safegene.evaluation.evaluate import EvaluationSuite
from safegene.evaluation.evaluation import Evaluation
from safegene.vectors.attach import attach
from safegene.vectors.peft_format import load_vector


@dataclass(frozen=True)
class Repair:
    """Recalibrates the pulled vector for the target and measures all models."""

    recipe: Recipe
    data: DemoData
    cache: StepCache
    console: Console
    made: Mapping[str, Result]
    pulled: PulledVector

    def calibrate(self, folder: Path) -> tuple[Calibration, float]:
        """Find the coefficients; the seconds are those of the real run."""
        splits = ("harmful", "lookalike", "tickets", "general")
        counts = self.recipe.calibration_rows
        files = {}
        for name, count in zip(splits, counts, strict=True):
            split = "extraction" if name == "general" else "calibration"
            rows = self.data.take(name, split, count)
            files[name] = write_rows(folder / f"{name}.jsonl", rows)
        inputs = {
            **self._target_keys(),
            "vector": str(self.pulled.digest),
            "budget": self.recipe.budget,
            "lookalike_weight": self.recipe.lookalike_weight,
            "rows": {name: path.read_text() for name, path in files.items()},
            "code": CORE_DIGEST,
        }
        result = self.cache.run(
            "calibration", inputs, lambda out: self._calibrate(out, files)
        )
        data = (result.directory / CALIBRATION_NAME).read_bytes()
        return Calibration.from_bytes(data), result.seconds

    def _calibrate(self, out: Path, files: Mapping[str, Path]) -> None:
        model, tokenizer = self._load_target()
        calibration = self.pulled.recalibrate(
            model,
            tokenizer,
            harmful=files["harmful"],
            lookalike=files["lookalike"],
            task=files["tickets"],
            general=files["general"],
            budget=self.recipe.budget,
            lookalike_weight=self.recipe.lookalike_weight,
            progress=self.console.progress,
        )
        (out / CALIBRATION_NAME).write_bytes(calibration.to_bytes())

    def evaluate(
        self, calibration: Calibration, seconds: dict[str, float]
    ) -> dict[str, Evaluation]:
        """Evaluate the five models, in the order of the report."""
        harmful, lookalike, task = self.recipe.test_rows
        suite = EvaluationSuite(
            harmful=self.data.take("harmful", "test", harmful),
            lookalike=self.data.take("lookalike", "test", lookalike),
            task=self.data.take("tickets", "test", task),
        )
        measure = Measurement(
            suite, self.recipe.answer_tokens, self.cache, self.console
        )
        vector = load_vector(self.pulled.path)
        known = calibration.uniform_coefficient
        assert known is not None  # noqa: S101 - the demo's solver always tells it
        uniform = dict.fromkeys(vector.layers, float(known))

        def with_vector(coefficients: Mapping[int, float]) -> Attach:
            return lambda model: attach(model, vector, coefficients)

        target = self._target_keys()
        plans: dict[str, tuple[Any, dict[str, object], Any]] = {
            "aligned": (
                self._load("aligned"),
                {"model": self.made["aligned"].key},
                as_is,
            ),
            "degraded": (
                self._load("shipped"),
                {"model": self.made["shipped"].key},
                as_is,
            ),
            "target": (self._load_target, target, as_is),
            "repaired": (
                self._load_target,
                {**target, "vector": vector.digest, "a": calibration.coefficients},
                with_vector(calibration.by_layer),
            ),
            "repaired_uniform": (
                self._load_target,
                {**target, "vector": vector.digest, "a": uniform},
                with_vector(uniform),
            ),
        }
        found = {}
        total = 0.0
        for name, (load, inputs, put_on) in plans.items():
            found[name], cost = measure.of(name, load, inputs, put_on)
            total += cost
            self.console.say(f"      {name}: J {found[name].j}")
        seconds["evaluate"] = round(total, 1)
        return found

    def _load(self, name: str) -> Callable[[], tuple[Any, Any]]:
        directory = self.made[name].directory
        return lambda: (load_model(directory), AutoTokenizer.from_pretrained(directory))

    def _load_target(self) -> tuple[Any, Any]:
        aligned = self.made["aligned"].directory
        model = load_model(aligned, self.made["target"].directory)
        return model, AutoTokenizer.from_pretrained(aligned)

    def _target_keys(self) -> dict[str, object]:
        return {
            "model": self.made["aligned"].key,
            "adapter": self.made["target"].key,
        }
