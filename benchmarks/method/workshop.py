"""Makes the models and vectors, each when it is first needed, and keeps them.

Every one has a key that is known before it is made: it covers the rows, the numbers and
the code that go into it, and the keys of what it is made of.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.harness import watch_peak
from benchmarks.method.data import Data
from benchmarks.method.fingerprints import code_digest
from benchmarks.method.recipe import DISTILLED, Recipe
from examples.demo.base_model import GGUF_NAME, package_directory, unpack_base_model
from examples.demo.cache import StepCache
from examples.demo.models import compute_dtype, make_aligned, make_task_adapter
from examples.demo.tuning import Progress, Tuning, full_tune
from safegene.artifact.digest import digest_file
from safegene.evaluation.rows import PromptRow
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.distill import (
    DistillData,
    distill_safety_vector,
    load_checkpoint,
)
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.peft_format import save_vector

PEAK_NAME = "peak.json"
Rows = tuple[PromptRow, ...]
TUNING_CODE = (
    "examples/demo/tuning.py",
    "examples/demo/models.py",
    "safegene/vectors/chat.py",
)
VECTOR_CODE = (
    "safegene/vectors/checkpoint.py",
    "safegene/vectors/compression.py",
    "safegene/vectors/extract.py",
    "safegene/vectors/factors.py",
    "safegene/vectors/pair.py",
    "safegene/vectors/randomized.py",
    "safegene/vectors/peft_format.py",
)

DISTILL_CODE = (
    "safegene/vectors/distill",
    "safegene/vectors/chat.py",
    "safegene/vectors/checkpoint.py",
    "safegene/vectors/factors.py",
    "safegene/vectors/pair.py",
    "safegene/vectors/peft_format.py",
    "safegene/evaluation/batches.py",
)


@dataclass(frozen=True)
class Making:
    """What it took to make something, when it was made."""

    seconds: float
    peak_memory_bytes: int
    """0 if it was made before this was noted."""


@dataclass(frozen=True)
class Step:
    """Something that can be made: its key now, its directory when asked for."""

    cache: StepCache
    name: str
    inputs: Mapping[str, Any]
    build: Callable[[Path], None]
    makings: dict[str, Making] = field(default_factory=dict)
    """Gets what it took, by name, when it is asked for."""

    @cached_property
    def key(self) -> str:
        """Covers everything it is made of."""
        return self.cache.key(self.name, self.inputs)

    def directory(self) -> Path:
        """Where its files are; made now if they are not there yet."""
        made = self.cache.run(self.name, self.inputs, self._build)
        noted = made.directory / PEAK_NAME
        peak = json.loads(noted.read_text("utf-8"))["bytes"] if noted.is_file() else 0
        self.makings[self.name] = Making(made.seconds, peak)
        return made.directory

    def _build(self, out: Path) -> None:
        with watch_peak() as peak:
            self.build(out)
        (out / PEAK_NAME).write_text(json.dumps({"bytes": peak.size}) + "\n", "utf-8")


@dataclass(frozen=True)
class Base:
    """The model as shipped: what it depends on, and how to write it."""

    facts: Mapping[str, Any]
    build: Callable[[Path], None]

    @classmethod
    def packaged(cls) -> "Base":
        """SmolLM2-135M-Instruct out of its package."""
        digest, _ = digest_file(package_directory() / GGUF_NAME)
        code = code_digest("examples/demo/base_model.py")
        return cls({"gguf": str(digest), "code": code}, unpack_base_model)


@dataclass(frozen=True)
class Workshop:
    """Everything that is made of the shipped model and the data's rows."""

    recipe: Recipe
    data: Data
    cache: StepCache
    base: Base
    progress: Progress
    makings: dict[str, Making] = field(default_factory=dict)
    """What the steps asked for so far took, by name, also if they were kept."""

    def safety_rows(self, counts: Mapping[str, int]) -> Rows:
        """Pairs by split, as the aligned model learned them."""
        return tuple(
            row
            for name, count in counts.items()
            for row in self.data.take(f"align/{name}", count)
        )

    def task_rows(self, task: str) -> Rows:
        """What a target is tuned on."""
        return (
            *self.data.take(f"task/{task}", self.recipe.task_rows),
            *self.data.take("task/general", self.recipe.general_rows),
        )

    def model(self, name: str) -> Step:
        """`shipped`, `aligned` or `drift`: a full checkpoint in float32."""
        return {"shipped": self.shipped, "aligned": self.aligned, "drift": self.drift}[
            name
        ]

    @cached_property
    def shipped(self) -> Step:
        """The model as it is shipped."""
        return self._step("shipped", self.base.facts, self.base.build)

    @cached_property
    def aligned(self) -> Step:
        """Tuned to decline harmful prompts and to answer look-alike ones."""
        rows = self.safety_rows(self.recipe.align_rows)
        tuning, start = self.recipe.align, self.shipped
        return self._step(
            "aligned",
            self._inputs(start, rows, tuning),
            lambda out: make_aligned(
                out, start.directory(), rows, tuning, self.progress
            ),
        )

    @cached_property
    def drift(self) -> Step:
        """The aligned model after full fine-tuning on general harmless data."""
        rows = self.data.take("drift/general", self.recipe.drift_rows)
        return self._fully_tuned("drift", rows, self.recipe.drift)

    def vector(self, pair: str) -> Step:
        """A vector, directory `vector` in its folder.

        Args:
            pair: the degraded model whose weights are taken from the aligned model's,
                or `distilled`.
        """
        if pair == DISTILLED:
            return self.distilled
        degraded = self.model(pair)
        inputs = {
            "aligned": self.aligned.key,
            "degraded": degraded.key,
            "rank": self.recipe.rank,
            "code": code_digest(*VECTOR_CODE),
        }
        return self._step(
            f"vector-{pair}", inputs, lambda out: self._extract(out, pair)
        )

    @cached_property
    def distilled(self) -> Step:
        """The vector that makes the degraded model decline as the aligned one does."""
        recipe = self.recipe.distillation
        data = DistillData(
            harmful=_unanswered(self.safety_rows(recipe.harmful)),
            benign=_unanswered(
                (
                    *self.safety_rows(recipe.benign),
                    *self.data.take("drift/general", recipe.general),
                )
            ),
        )
        inputs = {
            "aligned": self.aligned.key,
            "degraded": self.model(self.recipe.pair).key,
            "rank": self.recipe.rank,
            "rows": repr(data),
            "settings": asdict(recipe.settings),
            "dtype": str(compute_dtype()),
            "code": code_digest(*DISTILL_CODE),
        }
        return self._step(
            f"vector-{DISTILLED}", inputs, lambda out: self._distill(out, data)
        )

    def target(self, task: str, kind: str) -> Step:
        """A target: a PEFT adapter on the aligned model, or a checkpoint."""
        return self.tuned_target(f"target-{task}-{kind}", kind, self.task_rows(task))

    def tuned_target(self, name: str, kind: str, rows: Rows) -> Step:
        """The aligned model tuned on rows as targets of a kind are."""
        if kind == "full":
            return self._fully_tuned(name, rows, self.recipe.task_full)
        tuning, aligned = self.recipe.task_lora, self.aligned
        return self._step(
            name,
            self._inputs(aligned, rows, tuning),
            lambda out: make_task_adapter(
                out, aligned.directory(), rows, tuning, self.progress
            ),
        )

    def _fully_tuned(self, name: str, rows: Rows, tuning: Tuning) -> Step:
        def build(out: Path) -> None:
            start = self.aligned.directory()
            tuned = full_tune(
                start, rows, tuning, dtype=compute_dtype(), progress=self.progress
            )
            tuned.save_pretrained(out)
            AutoTokenizer.from_pretrained(start).save_pretrained(out)

        return self._step(name, self._inputs(self.aligned, rows, tuning), build)

    def _step(
        self, name: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> Step:
        return Step(self.cache, name, inputs, build, self.makings)

    def _extract(self, out: Path, pair: str) -> None:
        vector = extract_safety_vector(
            self._checkpoint("aligned"),
            self._checkpoint(pair),
            rank=self.recipe.rank,
            progress=lambda done, all_: self.progress("module", done, all_),
        )
        save_vector(
            vector, out / "vector", namespace="bench", name=pair, version="1.0.0"
        )

    def _distill(self, out: Path, data: DistillData) -> None:
        vector = distill_safety_vector(
            self._checkpoint("aligned"),
            self._checkpoint(self.recipe.pair),
            data,
            settings=self.recipe.distillation.settings,
            rank=self.recipe.rank,
            load=_load_to_compute,
            progress=self.progress,
        )
        save_vector(
            vector, out / "vector", namespace="bench", name=DISTILLED, version="1.0.0"
        )

    def _checkpoint(self, name: str) -> Checkpoint:
        directory = self.model(name).directory()
        return Checkpoint.open(directory, model_id=f"safegene-bench/{name}")

    def _inputs(self, start: Step, rows: Rows, tuning: Tuning) -> dict[str, Any]:
        return {
            "start": start.key,
            "rows": repr(rows),
            "tuning": asdict(tuning),
            "dtype": str(compute_dtype()),
            "code": code_digest(*TUNING_CODE),
        }


def _load_to_compute(directory: Path) -> tuple[Any, Any]:
    model, tokenizer = load_checkpoint(directory)
    return model.to(compute_dtype()), tokenizer


def _unanswered(rows: Rows) -> Rows:
    """Prompts alone: each model answers them itself."""
    return tuple(replace(row, response=None) for row in rows)
