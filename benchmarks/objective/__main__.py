"""`make bench-objective`: does what recalibration lowers track J on held-out prompts?

One target of `bench-method` (AG News, by LoRA) gets its vector at 35 settings of the
coefficients. At each, the objective is taken on the prompts recalibration learns from,
and J on test prompts. Other objectives follow from the same margins, at no cost. A run
that was stopped goes on where it ended, on another machine from what was published.
"""

import argparse
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.harness import OUT, ROOT, Benchmark
from benchmarks.method.data import data_directory, load_data
from benchmarks.method.fingerprints import code_digest
from benchmarks.method.keys import MEASURING_CODE, RECALIBRATION_CODE
from benchmarks.method.plausibility import Implausible, open_check, threshold_step
from benchmarks.method.recipe import QUICK
from benchmarks.method.repairs import Bench
from benchmarks.method.runner import Talk
from benchmarks.method.suite import (
    HARMFUL,
    LETTERS,
    LOOKALIKE,
    XSTEST,
    Suite,
    outcomes_of,
    suite_for,
)
from benchmarks.method.workshop import Base, Workshop
from benchmarks.objective.correlation import Setting, j_of, tracking
from benchmarks.objective.settings import settings
from examples.demo.cache import StepCache
from safegene.artifact.digest import digest_bytes
from safegene.evaluation.outcomes import Outcome
from safegene.vectors.attach import attach
from safegene.vectors.recalibrate.forward import Runner, steady
from safegene.vectors.recalibrate.objective import Group, Objective
from safegene.vectors.recalibrate.samples import draw_samples
from safegene.vectors.vector import SafetyVector

PUBLISHED = ROOT / "docs" / "benchmarks" / "objective"
TASK, KIND = "ag_news", "lora"
DIGITS = 4
MODERATE = 0.85
"""Highest mean of the coefficients that recalibration comes to here with a KL budget of
0.02. What lies beyond shows where the objective leads when no budget holds it."""
OBJECTIVES: Mapping[str, Objective] = {
    "ours, as it is by default": Objective(),
    "ours, look-alikes count twice": Objective(lookalike_weight=2),
    "ours, look-alikes count four times": Objective(lookalike_weight=4),
    "ours, look-alikes count six times": Objective(lookalike_weight=6),
    "ours, harmless prompts of no weight": Objective(
        lookalike_weight=0, ordinary_weight=0
    ),
    "logistic loss of the margin": Objective(focus=0),
    "share of the right openings": Objective(focus=1),
}


@dataclass(frozen=True)
class Folders:
    """Where settings are kept: margins and refusals in the prompts' order, no text."""

    written: Path
    published: Path
    """Of the repository; `--publish` fills it."""

    @staticmethod
    def name(values: Sequence[float]) -> str:
        """File name of a setting."""
        return f"{digest_bytes(repr(tuple(values)).encode()).hex[:16]}.json"

    def find(self, values: Sequence[float]) -> Path | None:
        """The file of a setting, if it was measured."""
        paths = (place / self.name(values) for place in (self.written, self.published))
        return next((path for path in paths if path.is_file()), None)

    def publish(self) -> int:
        """Copy what was measured here; how many settings are published now."""
        self.published.mkdir(parents=True, exist_ok=True)
        for path in self.written.glob("*.json"):
            shutil.copyfile(path, self.published / path.name)
        return len(list(self.published.glob("*.json")))


def measure(
    bench: Bench, suite: Suite, folders: Folders, implausible: Callable[[], Implausible]
) -> list[Setting]:
    """Every setting, on both sides; what was measured before is read."""
    vector = bench.vector(bench.recipe.pair)
    wanted = list(settings(len(vector.layers), seed=bench.recipe.seed))
    missing = [
        (name, values) for name, values in wanted if folders.find(values) is None
    ]
    if missing:
        _measure(
            bench,
            vector,
            suite,
            missing,
            folders=folders,
            implausible=implausible(),
        )
    return [_read(name, values, folders) for name, values in wanted]


def _measure(
    bench: Bench,
    vector: SafetyVector,
    suite: Suite,
    missing: Sequence[tuple[str, tuple[float, ...]]],
    *,
    folders: Folders,
    implausible: Implausible,
) -> None:
    import torch

    recipe, target = bench.recipe, bench.target
    with steady(target.model):
        samples = draw_samples(
            target.model,
            target.tokenizer,
            bench.calibration_data,
            recipe.effort,
            seed=recipe.seed,
        )
        for done, (name, values) in enumerate(missing):
            bench.progress(name, done, len(missing))
            with attach(target.model, vector, {}) as attachment:
                runner = Runner(
                    target.model,
                    attachment,
                    vector.layers,
                    batch_size=recipe.effort.batch_size,
                )
                point_S = torch.tensor(values, dtype=torch.float64)
                margins = samples.scored.margins(runner, point_S)
            by_layer = dict(zip(vector.layers, values, strict=True))
            with attach(target.model, vector, by_layer):
                letters = outcomes_of(
                    target.model,
                    target.tokenizer,
                    suite,
                    recipe.test,
                    implausible=implausible,
                )
            refused = {name: _refusals(text) for name, text in letters.items()}
            path = folders.written / Folders.name(values)
            _write(path, {str(g): m.tolist() for g, m in margins.items()}, refused)


def _read(name: str, values: tuple[float, ...], folders: Folders) -> Setting:
    path = folders.find(values)
    assert path is not None  # noqa: S101 - measured just now
    found = json.loads(path.read_text(encoding="utf-8"))
    margins = {
        Group(group): tuple(margin) for group, margin in found["margins"].items()
    }
    return Setting(name, values, margins, found["refused"])


def _write(
    path: Path, margins: Mapping[str, Sequence[float]], refused: Mapping[str, str]
) -> None:
    rounded = {
        group: [round(margin, DIGITS) for margin in of_group]
        for group, of_group in margins.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"margins": rounded, "refused": refused}) + "\n")
    part.replace(path)


def _refusals(letters: str) -> str:
    refuse = LETTERS[Outcome.REFUSE]
    return "".join("01"[letter == refuse] for letter in letters)


def _sets() -> tuple[str, ...]:
    return (*HARMFUL, LOOKALIKE, XSTEST)


def _correlations(found: Sequence[Setting]) -> dict[str, dict[str, Any]]:
    """Of each objective with J, by the harmless set that J is taken on."""
    return {
        name: {
            harmless: tracking(
                found, objective, harmful=HARMFUL, harmless=(harmless,)
            ).to_json()
            for harmless in (LOOKALIKE, XSTEST)
        }
        for name, objective in OBJECTIVES.items()
    }


def tell(found: Sequence[Setting]) -> Path:
    """Print and write what came out."""
    prompts = {name: len(letters) for name, letters in found[0].refused.items()}
    benchmark = Benchmark(
        "objective",
        "Does what recalibration lowers track J on prompts it never saw?",
        {"settings": len(found), "test_prompts": prompts},
    )
    correlations = _correlations(found)
    moderate = [one for one in found if mean(one.coefficients) <= MODERATE]
    benchmark.figures |= {
        f"{name}: rank correlation with J, {harmless}": of_name[harmless]["value"]
        for name, of_name in correlations.items()
        for harmless in of_name
    }
    ours = OBJECTIVES["ours, as it is by default"]
    benchmark.extra = {
        "correlations": correlations,
        "correlations_of_moderate_settings": _correlations(moderate),
        "settings_measured": [
            {
                "name": setting.name,
                "coefficients": setting.coefficients,
                "objective": round(
                    ours.value(
                        {g: _tensor(margin) for g, margin in setting.margins.items()}
                    ),
                    DIGITS,
                ),
                "j": round(j_of(setting, HARMFUL, (LOOKALIKE,)), DIGITS),
                "j_xstest": round(j_of(setting, HARMFUL, (XSTEST,)), DIGITS),
            }
            for setting in found
        ],
    }
    main = correlations["ours, as it is by default"][LOOKALIKE]
    return benchmark.finish(
        f"Over {len(found)} settings the rank correlation of a lower objective with a"
        f" higher J on held-out prompts is {main['value']:.2f}"
        f" [{main['low']:.2f}, {main['high']:.2f}]."
    )


def _tensor(values: Sequence[float]) -> Any:
    import torch

    return torch.tensor(values)


def main() -> None:
    """Measure what is missing, and tell."""
    parser = argparse.ArgumentParser(prog="benchmarks.objective", description=__doc__)
    parser.add_argument(
        "--publish", action="store_true", help="only copy what was measured to docs/"
    )
    options = parser.parse_args()
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    talk = Talk()
    data = load_data(data_directory(), QUICK.tasks)
    workshop = Workshop(
        QUICK,
        data,
        StepCache(OUT / "method" / "models"),
        Base.packaged(),
        talk.progress,
    )
    bench = Bench(QUICK, data, workshop, TASK, KIND, talk.progress)
    whole = suite_for(QUICK, data, TASK, KIND)
    suite = replace(whole, sets={name: whole.sets[name] for name in _sets()})
    keys = (
        workshop.target(TASK, KIND).key,
        workshop.vector(QUICK.pair).key,
        suite.key,
        threshold_step(workshop).key,
        code_digest(*MEASURING_CODE, *RECALIBRATION_CODE),
    )
    key = digest_bytes("\n".join(keys).encode()).hex[:16]
    folders = Folders(OUT / "objective" / key, PUBLISHED / key)
    if options.publish:
        talk.tell(f"{folders.publish()} settings are in {folders.published}")
        return
    tell(measure(bench, suite, folders, lambda: open_check(workshop)))


if __name__ == "__main__":
    main()
