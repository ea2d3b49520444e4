"""The demo's way, step by step."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safegene_client import PulledVector, Registry
from transformers.utils import logging as transformers_logging

from examples.demo.cache import Result, StepCache
from examples.demo.claims import check_claims
from examples.demo.console import Console
from examples.demo.data import load_data
from examples.demo.questions import ask, other_models
from examples.demo.recipe import VECTOR_NAME, VECTOR_RANGE, Recipe
from examples.demo.registry_process import embedded_registry
from examples.demo.repair import Repair
from examples.demo.servable import TOLERANCE, export_all
from examples.demo.story import Story
from safegene.artifact.calibration import Calibration
from safegene.evaluation.report import (
    Claim,
    CompatibilityRow,
    Recalibration,
    Report,
)
from safegene.evaluation.report_html import write_html
from safegene.evaluation.report_text import write_table
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.peft_format import load_vector


def run_demo(out: Path, console: Console, *, commit: str) -> Report:
    """Run every step, write the report and return it.

    Args:
        out: directory for models, results and the report.
        console: where progress is shown.
        commit: of the code that runs, for the report.

    Raises:
        DemoSetupError: the demo's model is not installed.
    """
    transformers_logging.disable_progress_bar()
    recipe, data, cache = Recipe(), load_data(), StepCache(out / "cache")
    story = Story(recipe, data, cache, console)
    seconds: dict[str, float] = {}
    made = _make_pair(story, console, seconds)
    with _fresh_registry(out) as registry:
        _publish(registry, made["vector"].directory / "vector", console)
        with console.step(
            "fine-tune", "fine-tune the aligned model on a harmless task"
        ):
            made["target"] = _note(story.target(made["aligned"]), "fine-tune", seconds)
        compatibility = _ask(registry, made["aligned"].directory, console)
        pulled = _pull(registry, made["aligned"].directory, console)
    repair = Repair(recipe, data, cache, console, made, pulled)
    with console.step("recalibrate", "recalibrate its coefficients for this target"):
        calibration, seconds["recalibrate"] = repair.calibrate(out / "data")
        for warning in calibration.warnings:
            console.say(f"      warning: {warning}")
    with console.step("evaluate", "measure every model on prompts it never saw"):
        evaluations = repair.evaluate(calibration, seconds)
    difference = _export(made, pulled, calibration, out / "export", console)
    report = Report.of(
        evaluations,
        commit=commit,
        title="SafeGene demo",
        recalibration=Recalibration.of(calibration, seconds=seconds["recalibrate"]),
        compatibility=compatibility,
        seconds={**console.seconds, **seconds},
        facts=_facts(calibration),
    )
    claims = (
        *check_claims(evaluations, recipe.claims),
        _same_logits(difference),
        _refused(compatibility),
    )
    return _write(report.model_copy(update={"claims": claims}), out, console)


def _write(report: Report, out: Path, console: Console) -> Report:
    report.write_json(out / "report.json")
    write_html(report, out / "report.html")
    console.say("")
    write_table(report, sys.stdout)
    console.say(f"\nReport: {out / 'report.html'} and {out / 'report.json'}")
    return report


@contextmanager
def _fresh_registry(out: Path) -> Iterator[Registry]:
    """An empty registry of the demo's own and a client for it."""
    shutil.rmtree(out / "registry", ignore_errors=True)
    (out / "registry").mkdir(parents=True)
    with embedded_registry(out / "registry") as running:
        yield Registry(running.url, token=running.token, cache=out / "pulled")


def _publish(registry: Registry, directory: Path, console: Console) -> None:
    with console.step("publish", "publish it to a registry of our own"):
        published = registry.publish(directory)
        console.say(f"      {published.identity}  {published.digest}")


def _ask(registry: Registry, aligned: Path, console: Console) -> list[CompatibilityRow]:
    with console.step("compatible", "ask the registry what fits"):
        config = Checkpoint.open(aligned).config
        rows = ask(registry, {"the fine-tuned model": config, **other_models(config)})
        for row in rows:
            why = f": {row.reasons[0]}" if row.reasons and not row.fits else ""
            console.say(f"      {row.model}: {row.level}{why}")
    return rows


def _pull(registry: Registry, aligned: Path, console: Console) -> PulledVector:
    with console.step("pull", f"pull {VECTOR_NAME}@{VECTOR_RANGE} and verify it"):
        pulled = registry.pull(f"{VECTOR_NAME}@{VECTOR_RANGE}", model=aligned)
        console.say(f"      {pulled.path}: {pulled.check(aligned).level}")
    return pulled


def _export(
    made: Mapping[str, Result],
    pulled: PulledVector,
    calibration: Calibration,
    exported: Path,
    console: Console,
) -> float:
    with console.step("merge", "merge, export to PEFT, and compare the logits"):
        shutil.rmtree(exported, ignore_errors=True)
        difference = export_all(
            made["aligned"].directory,
            made["target"].directory,
            load_vector(pulled.path),
            calibration.by_layer,
            exported,
            say=lambda text: console.say(f"      {text}"),
        )
        console.say(f"      largest difference of logits: {difference:.1e}")
    return difference


def _make_pair(
    story: Story, console: Console, seconds: dict[str, float]
) -> dict[str, Result]:
    with console.step("unpack", "unpack the model as shipped (the degraded one)"):
        shipped = _note(story.shipped(), "unpack", seconds)
    with console.step(
        "align", "align it on safe answers and look-alike harmless pairs"
    ):
        aligned = _note(story.aligned(shipped), "align", seconds)
    with console.step("extract", "extract the safety vector: aligned minus shipped"):
        vector = _note(story.vector(aligned, shipped), "extract", seconds)
    return {"shipped": shipped, "aligned": aligned, "vector": vector}


def _note(result: Result, step: str, seconds: dict[str, float]) -> Result:
    """Remember what a step cost when it ran, also when it is only looked up now."""
    seconds[step] = result.seconds
    return result


def _same_logits(difference: float) -> Claim:
    return Claim(
        claim="PEFT and the merged model give the attached vector's logits",
        target=f"at most {TOLERANCE:g} apart",
        measured=f"{difference:.1e}",
        passed=difference <= TOLERANCE,
    )


def _refused(compatibility: list[CompatibilityRow]) -> Claim:
    fitting = [row.model for row in compatibility if row.fits]
    wanted = compatibility[0].model
    return Claim(
        claim="the registry offers the vector to the model it fits, and to no other",
        target=wanted,
        measured=", ".join(fitting) or "none",
        passed=fitting == [wanted],
    )


def _facts(calibration: Calibration) -> dict[str, str]:
    return {
        "vector": calibration.vector,
        "digest": calibration.digest,
        "pair": "the easy one: the degraded model is the model as shipped, which was"
        " never aligned on prompts like these",
    }
