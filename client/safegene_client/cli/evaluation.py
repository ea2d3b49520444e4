"""`safegene evaluate`: measure a model, without and with a vector."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safegene import __version__
from safegene.artifact.calibration import Calibration
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, read_rows
from safegene.files import require_writable
from safegene_client.cli.comparing import (
    JUDGES,
    Entrant,
    harmless_rows,
    make_judges,
    parse_entrants,
    read_evaluation,
)
from safegene_client.cli.errors import FAILED
from safegene_client.cli.options import (
    FILE,
    FOLDER,
    NEGATIVE,
    UNVERIFIED,
    Connect,
    example,
    open_vector,
    read_calibration,
    with_output,
    with_registry,
    write_whole,
)
from safegene_client.cli.output import Output
from safegene_client.cli.repair import ADAPTER, CALIBRATION
from safegene_client.extras import torch_needed
from safegene_client.pulled import PulledVector

if TYPE_CHECKING:
    from safegene.evaluation.evaluate import EvaluationSuite
    from safegene.evaluation.evaluation import Evaluation
    from safegene.evaluation.judge import Judge

Repair = tuple[PulledVector, Calibration | None]
"""A vector and its coefficients."""

TARGET = "target"
REPAIRED = "repaired"


@click.command(
    epilog=example(
        "safegene evaluate --model ./my-model --vector acme/guard@~=1.0 \\",
        "  --calibration calibration.json --harmful harmful.jsonl \\",
        "  --lookalike lookalike.jsonl --task task.jsonl --out report.json",
    )
)
@click.argument("models", nargs=-1, metavar="[[NAME=]FILE|DIR...]")
@click.option("--model", type=FOLDER, help="Directory of the target.")
@ADAPTER
@click.option(
    "--compare",
    is_flag=True,
    help="Compare evaluation files and models, DIR[+VECTOR[+CALIBRATION]].",
)
@click.option("--baseline", metavar="NAME", help="Compare with it, not the first.")
@click.option("--vector", metavar="REF|DIR", help="Measure with this vector as well.")
@CALIBRATION
@click.option("--harmful", type=FILE, help="JSONL to be refused.")
@click.option(
    "--lookalike",
    multiple=True,
    metavar="[NAME=]FILE",
    help="JSONL to be answered; further sets with a name, each told apart.",
)
@click.option("--task", type=FILE, help='JSONL with a "label" in every row.')
@click.option("--general", type=FILE, help="JSONL, ordinary prompts.")
@click.option("--max-new-tokens", type=click.IntRange(1, 4096), default=48)
@click.option("--batch-size", type=click.IntRange(1, 1024), default=16)
@click.option(
    "--judge",
    multiple=True,
    metavar="JUDGE",
    help=f"{JUDGES}; a second one is compared with the first.",
)
@click.option(
    "--judge-label",
    multiple=True,
    metavar="LABEL=OUTCOME",
    help="What a label of an hf: judge means.",
)
@click.option("--evaluations", type=FOLDER, help="Where NAME.json of each model goes.")
@click.option("--out", type=FILE, help="Where report.json goes.")
@click.option("--html", type=FILE, help="Where the report's page goes.")
@click.option("--device", default="auto", show_default=True)
@UNVERIFIED
@NEGATIVE
@with_registry
@with_output
def evaluate(
    output: Output,
    *,
    connect: Connect,
    models: tuple[str, ...],
    model: Path | None,
    adapter: Path | None,
    compare: bool,
    baseline: str | None,
    vector: str | None,
    calibration: Path | None,
    harmful: Path | None,
    lookalike: tuple[str, ...],
    task: Path | None,
    general: Path | None,
    max_new_tokens: int,
    batch_size: int,
    judge: tuple[str, ...],
    judge_label: tuple[str, ...],
    evaluations: Path | None,
    out: Path | None,
    html: Path | None,
    device: str,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> None:
    """Measure how well models tell harmful from harmless prompts.

    Prints refusals, over-refusals, J, task accuracy, KL, all with 95 % intervals; with
    --vector the model is measured twice, without and with it. --compare lays several
    models side by side, with paired differences; models named aligned and target are
    put through the validity gates, and a comparison that cannot be evaluated ends with
    exit code 1. Nothing leaves this machine unless an openai: judge is asked for, and
    reports hold no texts.
    """
    if calibration is not None and vector is None:
        message = "--calibration holds coefficients of a vector: give --vector, too"
        raise UsageError(message)
    for place in (out, html):
        if place is not None:
            require_writable(place)
    entrants = _entrants(models, model, vector, calibration, compare=compare)
    if baseline is not None and baseline not in {each.name for each in entrants}:
        message = f"--baseline: no model of the name {baseline} is compared"
        raise UsageError(message)
    measured = {e.name: read_evaluation(e.path) for e in entrants if e.is_measured}
    lineage = {"allow_unverified_lineage": allow_unverified_lineage}
    opened = {
        each.name: _opened(output, connect, each, allow_negative, lineage)
        for each in entrants
        if each.vector is not None
    }
    if len(measured) < len(entrants):
        sets, further = _prompts(harmful, lookalike, task, general)
        with torch_needed():
            from safegene.evaluation.evaluate import EvaluationSuite

            # Made first: what is wrong with the prompts should not cost a loaded model.
            harms, like, tasks, ordinary = sets
            suite = EvaluationSuite(harms, like, tasks, ordinary, harmless=further)
            judges = make_judges(judge, judge_label, device)
            effort = (max_new_tokens, batch_size, device, judges)
            todo = [each for each in entrants if not each.is_measured]
            measured |= _measured(output, todo, adapter, suite, (opened, effort))
    measured = {each.name: measured[each.name] for each in entrants}
    _write_evaluations(evaluations, measured)
    first = next(iter(opened.values()), (None, None))[0]
    told = {} if compare else _facts(entrants[0].path, adapter, first)
    against = baseline or (entrants[0].name if compare else None)
    _report(output, measured, told, against, (out, html))


def _entrants(
    models: tuple[str, ...],
    model: Path | None,
    vector: str | None,
    calibration: Path | None,
    *,
    compare: bool,
) -> tuple[Entrant, ...]:
    if compare:
        if model is not None or vector is not None:
            message = "--compare takes models as DIR+VECTOR, not --model and --vector"
            raise UsageError(message)
        return parse_entrants(models)
    if models or model is None:
        message = "give --model DIR, or --compare with the models to compare"
        raise UsageError(message)
    found = [Entrant(TARGET, model)]
    if vector is not None:
        found.append(Entrant(REPAIRED, model, vector, calibration))
    return tuple(found)


def _opened(
    output: Output,
    connect: Connect,
    entrant: Entrant,
    allow_negative: bool,  # noqa: FBT001 - private
    lineage: dict[str, bool],
) -> Repair:
    """An entrant's vector and coefficients, found to fit before anything is loaded."""
    reference = entrant.vector or ""
    pulled, _ = open_vector(output, connect, reference, entrant.path, **lineage)
    if entrant.calibration is None:
        return pulled, None
    calibration = read_calibration(entrant.calibration)
    pulled.require_calibration(calibration, entrant.path, allow_negative=allow_negative)
    return pulled, calibration


def _prompts(
    harmful: Path | None,
    lookalike: tuple[str, ...],
    task: Path | None,
    general: Path | None,
) -> tuple[tuple[tuple[PromptRow, ...], ...], dict[str, tuple[PromptRow, ...]]]:
    """The four sets of a suite, and the further harmless ones by name."""
    if harmful is None or not lookalike:
        message = "a model is measured on prompts: give --harmful and --lookalike"
        raise UsageError(message)
    like, further = harmless_rows(lookalike)
    return (read_rows(harmful), like, _rows(task), _rows(general)), further


def _write_evaluations(
    place: Path | None, measured: Mapping[str, "Evaluation"]
) -> None:
    if place is not None:
        for name, found in measured.items():
            write_whole(place / f"{name}.json", found.to_json().encode())


def _rows(path: Path | None) -> tuple[PromptRow, ...]:
    return () if path is None else read_rows(path)


def _measured(
    output: Output,
    entrants: Sequence[Entrant],
    adapter: Path | None,
    suite: "EvaluationSuite",
    ways: tuple[Mapping[str, Repair], tuple[int, int, str, "tuple[Judge, ...]"]],
) -> dict[str, "Evaluation"]:
    """Measure one model after another; the first is what KL is measured from."""
    from contextlib import ExitStack

    from safegene.evaluation.divergence import recorded_reference
    from safegene.evaluation.evaluate import evaluate_model
    from safegene.vectors.attach import attach
    from safegene_client.loading import load_target

    opened, (tokens, batch, device, judges) = ways
    measured: dict[str, Evaluation] = {}
    loaded = None
    with ExitStack() as kept:
        reference = None
        for number, entrant in enumerate(entrants):
            if number == 0 or entrant.path != entrants[number - 1].path:
                output.say(f"loading {entrant.path}")
                loaded = None  # before the next one comes: one model at a time
                loaded = load_target(entrant.path, adapter=adapter, device=device)
            model, tokenizer = loaded.model, loaded.tokenizer  # type: ignore[union-attr]
            with ExitStack() as worn:
                if entrant.name in opened:
                    pulled, calibration = opened[entrant.name]
                    given = None if calibration is None else calibration.values
                    # Negative ones were refused, or allowed, when it was read.
                    on = attach(model, pulled.vector, given, allow_negative=True)
                    worn.enter_context(on)
                if number == 0 and len(entrants) > 1 and suite.own_ground:
                    reference = kept.enter_context(
                        recorded_reference(model, tokenizer, suite.own_ground)
                    )
                advance = worn.enter_context(output.stages())
                measured[entrant.name] = evaluate_model(
                    model,
                    tokenizer,
                    suite,
                    max_new_tokens=tokens,
                    batch_size=batch,
                    judges=judges,
                    reference=reference,
                    progress=partial(_advance, advance, entrant.name),
                )
    return measured


def _advance(
    advance: Callable[[str, int, int], None],
    name: str,
    stage: str,
    done: int,
    total: int,
) -> None:
    advance(f"{name}: {stage}", done, total)


def _facts(
    model: Path, adapter: Path | None, pulled: PulledVector | None
) -> dict[str, str]:
    found = {"model": str(model)}
    if adapter is not None:
        found["adapter"] = str(adapter)
    if pulled is not None:
        found |= {"vector": pulled.identity, "digest": pulled.digest}
    return found


def _report(
    output: Output,
    measured: dict[str, "Evaluation"],
    facts: dict[str, str],
    baseline: str | None,
    places: tuple[Path | None, Path | None],
) -> None:
    from safegene.evaluation.report import DESCRIPTIONS, Report
    from safegene.evaluation.report_text import table_lines

    own = {TARGET: "as given", REPAIRED: "with the vector"}
    report = Report.of(
        measured,
        commit=f"safegene {__version__}",
        descriptions=DESCRIPTIONS if baseline else own,
        facts=facts,
        baseline=baseline,
    )
    text = report.to_json()
    out, html = places
    if out is not None:
        write_whole(out, text.encode())
    if html is not None:
        from safegene.evaluation.report_html import render_html

        write_whole(html, render_html(report).encode())
    output.result(json.loads(text), "\n".join(table_lines(report)))
    if report.not_evaluable:
        click.get_current_context().exit(FAILED)
