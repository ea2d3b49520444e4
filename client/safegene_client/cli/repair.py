"""Commands that repair a target with a vector: apply, merge."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from safegene.artifact.calibration import Coefficients
from safegene.artifact.compatibility import Verdict
from safegene.artifact.manifest import BaseModelRef, checked_line
from safegene_client.cli.options import (
    ADAPTER,
    CALIBRATION,
    FOLDER,
    MODEL,
    NEGATIVE,
    UNVERIFIED,
    Connect,
    example,
    open_vector,
    read_calibration,
    refuse_existing,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output
from safegene_client.extras import torch_needed
from safegene_client.pulled import PulledVector


@click.command(
    epilog=example(
        "safegene apply acme/guard@~=1.0 --model ./my-model \\",
        "  --calibration calibration.json --out ./guard-adapter",
    )
)
@click.argument("vector", metavar="REF|DIR")
@MODEL
@click.option(
    "--adapter", type=FOLDER, help="Task adapter (PEFT) to put into the same one."
)
@CALIBRATION
@click.option("--out", required=True, type=FOLDER, help="New directory to write.")
@UNVERIFIED
@NEGATIVE
@with_registry
@with_output
def apply(
    output: Output,
    *,
    connect: Connect,
    vector: str,
    model: Path,
    adapter: Path | None,
    calibration: Path | None,
    out: Path,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> None:
    """Write a PEFT adapter for one target.

    The coefficients are folded in; PEFT, transformers and vLLM load it as it is. With
    --adapter it holds the task's adapter as well, so that one adapter does both.
    """
    refuse_existing(out)
    # Whoever loads the adapter alone is led to the target, not to the base.
    named = BaseModelRef(id=checked_line(str(model), "--model"), revision="main")
    pulled, verdict, coefficients = _checked(
        output,
        connect,
        vector,
        model=model,
        calibration=calibration,
        allow_unverified_lineage=allow_unverified_lineage,
        allow_negative=allow_negative,
    )
    with torch_needed():
        from safegene.vectors.peft_format import export_adapter
        from safegene_client.combine import combined_with_adapter

        found = pulled.vector.scaled(coefficients, allow_negative=allow_negative)
        if adapter is not None:
            found = combined_with_adapter(found, adapter)
        export_adapter(replace(found, base_model=named), out)
    output.result(
        _applied(pulled, verdict, coefficients, out),
        f"{pulled.identity} ({verdict.level}) written to {out}",
    )


@click.command(
    epilog=example(
        "safegene merge acme/guard@~=1.0 --model ./my-model \\",
        "  --calibration calibration.json --out ./my-safe-model",
    )
)
@click.argument("vector", metavar="REF|DIR")
@MODEL
@ADAPTER
@CALIBRATION
@click.option("--out", required=True, type=FOLDER, help="New directory to write.")
@UNVERIFIED
@NEGATIVE
@with_registry
@with_output
def merge(
    output: Output,
    *,
    connect: Connect,
    vector: str,
    model: Path,
    adapter: Path | None,
    calibration: Path | None,
    out: Path,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> None:
    """Write the target's checkpoint with the vector merged in.

    Shards are streamed; --model stays as it is. With --adapter the task's adapter is
    merged as well.
    """
    refuse_existing(out)
    pulled, verdict, coefficients = _checked(
        output,
        connect,
        vector,
        model=model,
        calibration=calibration,
        allow_unverified_lineage=allow_unverified_lineage,
        allow_negative=allow_negative,
    )
    with torch_needed():
        from safegene.vectors.checkpoint import Checkpoint
        from safegene.vectors.merge import merge_checkpoint

        with output.progress("merging shards") as advance:
            merge_checkpoint(
                Checkpoint.open(model),
                pulled.vector,
                out,
                coefficients=coefficients,
                task_adapter=adapter,
                allow_negative=allow_negative,
                progress=advance,
            )
    output.result(
        _applied(pulled, verdict, coefficients, out),
        f"{model} with {pulled.identity} ({verdict.level}) written to {out}",
    )


def _checked(
    output: Output,
    connect: Connect,
    vector: str,
    *,
    model: Path,
    calibration: Path | None,
    allow_unverified_lineage: bool,
    allow_negative: bool,
) -> tuple[PulledVector, Verdict, Coefficients | None]:
    """The vector, proof that it fits, and the coefficients made for both."""
    read = None if calibration is None else read_calibration(calibration)
    pulled, verdict = open_vector(
        output,
        connect,
        vector,
        model,
        allow_unverified_lineage=allow_unverified_lineage,
    )
    if read is None:
        return pulled, verdict, None
    pulled.require_calibration(read, model, allow_negative=allow_negative)
    return pulled, verdict, read.values


def _applied(
    pulled: PulledVector,
    verdict: Verdict,
    coefficients: Coefficients | None,
    out: Path,
) -> dict[str, Any]:
    return {
        "identity": pulled.identity,
        "digest": pulled.digest,
        "verdict": verdict.model_dump(mode="json", exclude_none=True),
        "coefficients": None
        if coefficients is None
        else {str(unit): value for unit, value in coefficients.items()},
        "path": str(out),
    }
