"""`safegene evaluate`: measure a model, without and with a vector."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safegene import __version__
from safegene.artifact.calibration import Calibration
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, read_rows
from safegene.files import require_writable
from safegene_client.cli.options import (
    FILE,
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
from safegene_client.cli.repair import ADAPTER, CALIBRATION, MODEL
from safegene_client.extras import torch_needed
from safegene_client.pulled import PulledVector

if TYPE_CHECKING:
    from safegene.evaluation.evaluate import EvaluationSuite
    from safegene.evaluation.evaluation import Evaluation
    from safegene_client.loading import LoadedTarget

TARGET = "target"
REPAIRED = "repaired"


@click.command(
    epilog=example(
        "safegene evaluate --model ./my-model --vector acme/guard@~=1.0 \\",
        "  --calibration calibration.json --harmful harmful.jsonl \\",
        "  --lookalike lookalike.jsonl --task task.jsonl --out report.json",
    )
)
@MODEL
@ADAPTER
@click.option("--vector", metavar="REF|DIR", help="Measure with this vector as well.")
@CALIBRATION
@click.option("--harmful", required=True, type=FILE, help="JSONL to be refused.")
@click.option("--lookalike", required=True, type=FILE, help="JSONL to be answered.")
@click.option("--task", type=FILE, help='JSONL with a "label" in every row.')
@click.option("--general", type=FILE, help="JSONL, ordinary prompts.")
@click.option("--max-new-tokens", type=click.IntRange(1, 4096), default=48)
@click.option("--batch-size", type=click.IntRange(1, 1024), default=16)
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
    model: Path,
    adapter: Path | None,
    vector: str | None,
    calibration: Path | None,
    harmful: Path,
    lookalike: Path,
    task: Path | None,
    general: Path | None,
    max_new_tokens: int,
    batch_size: int,
    out: Path | None,
    html: Path | None,
    device: str,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> None:
    """Measure how well a model tells harmful from harmless prompts.

    Prints refusals, over-refusals, J, task accuracy, all with 95 % intervals; with
    --vector the model is measured twice, without and with it. Nothing leaves this
    machine, and reports hold no texts.
    """
    if calibration is not None and vector is None:
        message = "--calibration holds coefficients of a vector: give --vector, too"
        raise UsageError(message)
    for place in (out, html):
        if place is not None:
            require_writable(place)
    sets = (_rows(harmful), _rows(lookalike), _rows(task), _rows(general))
    coefficients = None if calibration is None else read_calibration(calibration)
    pulled = None
    if vector is not None:
        pulled, _ = open_vector(
            output,
            connect,
            vector,
            model,
            allow_unverified_lineage=allow_unverified_lineage,
        )
        if coefficients is not None:
            pulled.require_calibration(
                coefficients, model, allow_negative=allow_negative
            )
    with torch_needed():
        from safegene.evaluation.evaluate import EvaluationSuite
        from safegene_client.loading import load_target

        # Made first: what is wrong with the prompts should not cost a loaded model.
        suite = EvaluationSuite(*sets)
        output.say(f"loading {model}")
        target = load_target(model, adapter=adapter, device=device)
        measured = _measured(
            output,
            target,
            suite,
            (pulled, coefficients),
            (max_new_tokens, batch_size),
        )
    _report(output, measured, _facts(model, adapter, pulled), out, html)


def _rows(path: Path | None) -> tuple[PromptRow, ...]:
    return () if path is None else read_rows(path)


def _measured(
    output: Output,
    target: "LoadedTarget",
    suite: "EvaluationSuite",
    repair: tuple[PulledVector | None, Calibration | None],
    effort: tuple[int, int],
) -> dict[str, "Evaluation"]:
    from safegene.evaluation.evaluate import evaluate_model
    from safegene.vectors.attach import attach

    def measure(name: str) -> "Evaluation":
        with output.stages() as advance:
            return evaluate_model(
                target.model,
                target.tokenizer,
                suite,
                max_new_tokens=effort[0],
                batch_size=effort[1],
                progress=lambda stage, done, total: advance(
                    f"{name}: {stage}", done, total
                ),
            )

    measured = {TARGET: measure(TARGET)}
    pulled, calibration = repair
    if pulled is not None:
        coefficients = None if calibration is None else calibration.values
        # Checked before the model was loaded.
        with attach(target.model, pulled.vector, coefficients):
            measured[REPAIRED] = measure(REPAIRED)
    return measured


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
    measured: dict[str, Any],
    facts: dict[str, str],
    out: Path | None,
    html: Path | None,
) -> None:
    from safegene.evaluation.report import Report
    from safegene.evaluation.report_text import table_lines

    report = Report.of(
        measured,
        commit=f"safegene {__version__}",
        descriptions={TARGET: "as given", REPAIRED: "with the vector"},
        facts=facts,
    )
    text = report.to_json()
    if out is not None:
        write_whole(out, text.encode())
    if html is not None:
        from safegene.evaluation.report_html import render_html

        write_whole(html, render_html(report).encode())
    output.result(json.loads(text), "\n".join(table_lines(report)))
