"""`safegene evaluate`: measure a model, without and with a vector."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safegene import __version__
from safegene.errors import UsageError
from safegene.evaluation.defaults import BATCH_SIZE, MAX_NEW_TOKENS
from safegene.evaluation.rows import PromptRow, read_rows
from safegene.files import require_writable
from safegene_client.cli.comparing import (
    JUDGES,
    Entrant,
    harmless_rows,
    open_judges,
    parse_entrants,
    read_evaluation,
)
from safegene_client.cli.errors import FAILED
from safegene_client.cli.measuring import (
    Conditions,
    GoodAnswers,
    Repair,
    good_answers,
    measure,
    plausibility_check,
    require_one_directory,
)
from safegene_client.cli.options import (
    ADAPTER,
    CALIBRATION,
    FILE,
    FOLDER,
    HTML,
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
from safegene_client.extras import torch_needed
from safegene_client.pulled import PulledVector

if TYPE_CHECKING:
    from safegene.evaluation.evaluation import Evaluation

Prompts = tuple[tuple[tuple[PromptRow, ...], ...], dict[str, tuple[PromptRow, ...]]]
"""The four sets of a suite, and the further harmless ones by name."""

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
@click.option(
    "--max-new-tokens",
    type=click.IntRange(1, 4096),
    default=MAX_NEW_TOKENS,
    show_default=True,
    help="Where an answer is cut.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 1024),
    default=BATCH_SIZE,
    show_default=True,
    help="Prompts answered at once.",
)
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
@click.option(
    "--plausible-under",
    type=FOLDER,
    help="Untouched base model: answers it finds too unlikely are degenerate.",
)
@click.option(
    "--aligned", type=FOLDER, help="For that: the model whose answers are good ones."
)
@click.option("--evaluations", type=FOLDER, help="Where NAME.json of each model goes.")
@click.option("--out", type=FILE, help="Where report.json goes.")
@HTML
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
    plausible_under: Path | None,
    aligned: Path | None,
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
    for place in (out, html):
        if place is not None:
            require_writable(place)
    entrants = _entrants(models, model, vector, calibration, compare=compare)
    _check_choices(entrants, baseline, adapter)
    good = good_answers(plausible_under, aligned, entrants)
    measured = {e.name: read_evaluation(e.path) for e in entrants if e.is_measured}
    lineage = {"allow_unverified_lineage": allow_unverified_lineage}
    opened = {
        each.name: _opened(output, connect, each, allow_negative, lineage)
        for each in entrants
        if each.vector is not None
    }
    first = next(iter(opened.values()), (None, None))[0]
    told = {} if compare else _facts(entrants[0].path, adapter, first)
    todo = [each for each in entrants if not each.is_measured]
    if todo:
        prompts = _prompts(harmful, lookalike, task, general)
        conditions = Conditions(max_new_tokens, batch_size, device, adapter, opened)
        ways = (conditions, judge, judge_label, good)
        found, learned = _measured(output, todo, prompts, ways)
        measured |= found
        told |= learned
    measured = {each.name: measured[each.name] for each in entrants}
    _write_evaluations(evaluations, measured)
    against = baseline or (entrants[0].name if compare else None)
    _report(output, measured, told, against, (out, html))


def _check_choices(
    entrants: tuple[Entrant, ...], baseline: str | None, adapter: Path | None
) -> None:
    if baseline is not None and baseline not in {each.name for each in entrants}:
        message = f"--baseline: no model of the name {baseline} is compared"
        raise UsageError(message)
    require_one_directory(adapter, entrants)


def _measured(
    output: Output,
    entrants: list[Entrant],
    prompts: Prompts,
    ways: tuple[Conditions, tuple[str, ...], tuple[str, ...], GoodAnswers | None],
) -> tuple[dict[str, "Evaluation"], dict[str, str]]:
    """The evaluations, and what a reader should know of how they came about."""
    conditions, judge, labels, good = ways
    (harms, like, tasks, ordinary), further = prompts
    with torch_needed():
        from safegene.evaluation.evaluate import EvaluationSuite

        # Made first: what is wrong with the prompts should not cost a loaded model.
        suite = EvaluationSuite(harms, like, tasks, ordinary, harmless=further)
        with open_judges(judge, labels, conditions.device) as judges:
            check, told = None, {}
            if good is not None:
                check = plausibility_check(output, good, suite, conditions)
                limit = f"at most {check.threshold:.3f} nats per token"
                learned = f"learned from {good.aligned.path} on these prompts"
                told = {"plausible": f"under {good.base}: {limit}, {learned}"}
            found = measure(
                output, entrants, suite, conditions, judges=judges, implausible=check
            )
    return found, told


def _entrants(
    models: tuple[str, ...],
    model: Path | None,
    vector: str | None,
    calibration: Path | None,
    *,
    compare: bool,
) -> tuple[Entrant, ...]:
    if calibration is not None and vector is None:
        message = "--calibration holds coefficients of a vector: give --vector, too"
        raise UsageError(message)
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
) -> Prompts:
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
    if len(set(report.judges.values())) > 1:
        told = ", ".join(f"{name} by {judge}" for name, judge in report.judges.items())
        output.warn(f"outcomes were decided by different judges: {told}")
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
