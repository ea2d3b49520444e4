"""`safegene recalibrate`: find the coefficients for one target."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from safegene.artifact.calibration import Calibration, Granularity
from safegene.evaluation.rows import read_rows
from safegene.files import require_writable
from safegene.vectors.choices import EffortLevel, Solver
from safegene_client.cli.options import (
    ADAPTER,
    FILE,
    HTML,
    MODEL,
    NEGATIVE,
    UNVERIFIED,
    Connect,
    example,
    open_vector,
    with_output,
    with_registry,
    write_whole,
)
from safegene_client.cli.output import Output, facts
from safegene_client.extras import torch_needed
from safegene_client.pulled import BUDGETS, DEFAULT_BUDGET

if TYPE_CHECKING:
    from safegene.vectors.recalibrate import Measured

Intervals = dict[int | str, tuple[float, float]]
"""Lowest and highest value of a coefficient, by layer or module."""


@click.command(
    epilog=example(
        "safegene recalibrate acme/guard@~=1.0 --model ./my-model \\",
        "  --harmful harmful.jsonl --lookalike lookalike.jsonl --task task.jsonl \\",
        "  --out calibration.json",
    )
)
@click.argument("vector", metavar="REF|DIR")
@MODEL
@ADAPTER
@click.option("--harmful", required=True, type=FILE, help="JSONL, 100 rows or more.")
@click.option("--lookalike", required=True, type=FILE, help="JSONL, harmless ones.")
@click.option("--task", required=True, type=FILE, help="JSONL, the target's own work.")
@click.option("--general", type=FILE, help="JSONL, ordinary prompts of other kinds.")
@click.option(
    "--budget",
    type=float,
    show_default=f"{DEFAULT_BUDGET}; distilled vectors {BUDGETS['distill']}",
    help="Most KL from the target's own behavior, nats per token.",
)
@click.option(
    "--lookalike-weight",
    type=float,
    default=1.0,
    show_default=True,
    help="What refusing a look-alike prompt counts beside not refusing a harmful one.",
)
@click.option(
    "--granularity",
    type=click.Choice(get_args(Granularity)),
    default="layer",
    show_default=True,
    help="What gets a coefficient of its own.",
)
@click.option(
    "--solver",
    type=click.Choice([str(word) for word in Solver]),
    default=str(Solver.TRUST_REGION),
    show_default=True,
    help="How to look; gradient-free for quantised targets, adam to compare with.",
)
@click.option(
    "--effort",
    type=click.Choice([str(word) for word in EffortLevel]),
    default=str(EffortLevel.NORMAL),
    show_default=True,
    help="How many of the prompts are read: half as many when quick, three times when"
    " thorough.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--out", required=True, type=FILE, help="Where calibration.json goes.")
@HTML
@click.option("--device", default="auto", show_default=True)
@UNVERIFIED
@NEGATIVE
@with_registry
@with_output
def recalibrate(
    output: Output,
    *,
    connect: Connect,
    vector: str,
    model: Path,
    adapter: Path | None,
    harmful: Path,
    lookalike: Path,
    task: Path,
    general: Path | None,
    budget: float | None,
    lookalike_weight: float,
    granularity: Granularity,
    solver: str,
    effort: str,
    seed: int,
    out: Path,
    html: Path | None,
    device: str,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> None:
    """Find the coefficient of every layer, or module, for one target.

    The files are JSON Lines: "prompt" and, optionally, "response".
    """
    require_writable(out)
    if html is not None:
        require_writable(html)
    # Read first: a typing error should not cost the loading of a model.
    data = (read_rows(harmful), read_rows(lookalike), read_rows(task))
    others = None if general is None else read_rows(general)
    pulled, _ = open_vector(
        output,
        connect,
        vector,
        model,
        allow_unverified_lineage=allow_unverified_lineage,
    )
    with torch_needed():
        from safegene_client.loading import load_target

        output.say(f"loading {model}")
        target = load_target(model, adapter=adapter, device=device)
        way: list[Measured] = []
        spread: Intervals = {}
        start = time.perf_counter()
        with output.stages() as advance:
            calibration = pulled.recalibrate(
                target.model,
                target.tokenizer,
                harmful=data[0],
                lookalike=data[1],
                task=data[2],
                general=others,
                budget=budget,
                seed=seed,
                allow_unverified_lineage=allow_unverified_lineage,
                allow_negative=allow_negative,
                lookalike_weight=lookalike_weight,
                granularity=granularity,
                solver=solver,
                effort=effort,
                progress=advance,
                watch=way.append,
                spread=None if html is None else spread.update,
            )
    write_whole(out, calibration.to_bytes())
    if html is not None:
        page = _page(calibration, way, time.perf_counter() - start, spread)
        write_whole(html, page.encode())
    for warning in calibration.warnings:
        output.warn(warning)
    output.result(
        {"path": str(out), "calibration": calibration.model_dump(mode="json")},
        _calibration_facts(calibration, out),
    )


def _page(
    calibration: Calibration,
    way: Sequence["Measured"],
    seconds: float,
    spread: Intervals,
) -> str:
    from safegene.evaluation.charts import Dot
    from safegene.evaluation.recalibration_page import render_recalibration

    result = tuple(calibration.values.values())
    dots = [
        Dot(f"point {at}", point.kl, point.j, point.coefficients == result)
        for at, point in enumerate(way)
    ]
    return render_recalibration(calibration, dots, seconds=seconds, intervals=spread)


def _calibration_facts(calibration: Calibration, out: Path) -> Any:
    values = sorted(calibration.values.values())
    gain = calibration.gain
    objective = f"{calibration.objective_before} before,"
    if calibration.objective_uniform is not None:
        objective += (
            f" {calibration.objective_uniform} uniform"
            f" ({calibration.uniform_coefficient}),"
        )
    return facts(
        [
            ("vector", calibration.vector),
            (
                "coefficients",
                f"{values[0]:.3g} to {values[-1]:.3g} in {len(values)}"
                f" {calibration.granularity or 'layer'}s",
            ),
            (
                "calibration KL",
                f"{calibration.realised_kl} of {calibration.budget} nats per token",
            ),
            ("gain", f"{gain.value} [{gain.low}, {gain.high}]"),
            ("objective", f"{objective} {calibration.objective_after} after"),
            ("cost", f"{calibration.forward_equivalents} forward passes"),
            ("written to", str(out)),
        ]
    )
