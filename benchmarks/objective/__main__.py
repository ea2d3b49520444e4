"""`make bench-objective`: does what recalibration lowers track J on held-out prompts?

One target of `bench-method` (AG News, by LoRA) gets its vector at 27 settings of the
coefficients. At each, the objective is taken on the prompts recalibration learns from,
and J on test prompts. Other objectives follow from the same margins, at no cost. A run
that was stopped goes on where it ended.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.harness import OUT, Benchmark
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

TASK, KIND = "ag_news", "lora"
DIGITS = 4
OBJECTIVES: Mapping[str, Objective] = {
    "ours, look-alikes count twice": Objective(lookalike_weight=2),
    "ours, as it is by default": Objective(),
    "ours, harmless prompts of no weight": Objective(
        lookalike_weight=0, ordinary_weight=0
    ),
    "logistic loss of the margin": Objective(focus=0),
    "share of the right openings": Objective(focus=1),
}


def measure(
    bench: Bench, suite: Suite, place: Path, implausible: Implausible
) -> Iterator[Setting]:
    """Every setting, on both sides; what was measured before is read from `place`."""
    import torch

    recipe, target = bench.recipe, bench.target
    vector = bench.vector(recipe.pair)
    with steady(target.model):
        samples = draw_samples(
            target.model,
            target.tokenizer,
            bench.calibration_data,
            recipe.effort,
            seed=recipe.seed,
        )
        for name, values in settings(len(vector.layers), seed=recipe.seed):
            path = place / f"{digest_bytes(repr(values).encode()).hex[:16]}.json"
            if not path.is_file():
                bench.progress(name, 0, 1)
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
                _write(path, {str(g): m.tolist() for g, m in margins.items()}, refused)
            found = json.loads(path.read_text(encoding="utf-8"))
            margins_read = {
                Group(group): tuple(margin)
                for group, margin in found["margins"].items()
            }
            yield Setting(name, values, margins_read, found["refused"])


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


def tell(found: Sequence[Setting]) -> Path:
    """Print and write what came out."""
    prompts = {name: len(letters) for name, letters in found[0].refused.items()}
    benchmark = Benchmark(
        "objective",
        "Does what recalibration lowers track J on prompts it never saw?",
        {"settings": len(found), "test_prompts": prompts},
    )
    correlations: dict[str, dict[str, Any]] = {}
    for name, objective in OBJECTIVES.items():
        of_name = correlations[name] = {}
        for harmless in (LOOKALIKE, XSTEST):
            estimate = tracking(found, objective, harmful=HARMFUL, harmless=(harmless,))
            of_name[harmless] = estimate.to_json()
            benchmark.figures[f"{name}: rank correlation with J, {harmless}"] = (
                estimate.value
            )
    ours = OBJECTIVES["ours, as it is by default"]
    benchmark.extra = {
        "correlations": correlations,
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
    argparse.ArgumentParser(
        prog="benchmarks.objective", description=__doc__
    ).parse_args()
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
    place = OUT / "objective" / digest_bytes("\n".join(keys).encode()).hex[:16]
    tell(list(measure(bench, suite, place, open_check(workshop))))


if __name__ == "__main__":
    main()
