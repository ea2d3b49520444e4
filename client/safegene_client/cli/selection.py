"""`safegene select`: keep some layers of a vector, as another version of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safegene.artifact.manifest import Manifest
from safegene.artifact.reference import canonical_version
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, read_rows
from safegene.vectors.choices import Ranking
from safegene_client.cli.options import (
    ADAPTER,
    FILE,
    FOLDER,
    MODEL,
    UNVERIFIED,
    Connect,
    example,
    open_vector,
    refuse_existing,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, facts
from safegene_client.extras import torch_needed

if TYPE_CHECKING:
    from safegene.vectors.recalibrate import CalibrationData
    from safegene.vectors.selection import Selection

NEEDED: dict[str, tuple[str, ...]] = {
    Ranking.CONTRAST: ("harmful", "lookalike"),
    Ranking.SCORE: ("harmful", "lookalike", "task"),
}

Files = dict[str, Path | None]


@click.command(
    epilog=example(
        "safegene select acme/guard@~=1.0 --model ./my-model --by score \\",
        "  --harmful harmful.jsonl --lookalike lookalike.jsonl --task task.jsonl \\",
        "  --latency 1.05 --version 1.1.0 --out ./guard-fast",
    )
)
@click.argument("vector", metavar="REF|DIR")
@MODEL
@ADAPTER
@click.option(
    "--by",
    type=click.Choice([str(word) for word in Ranking]),
    default=str(Ranking.ALL),
    show_default=True,
    help="What layers are ranked by; random is a control.",
)
@click.option("--keep", type=int, help="Keep only so many layers of highest score.")
@click.option(
    "--latency", type=float, help="Keep what slows decoding down at most so: 1.05."
)
@click.option("--harmful", type=FILE, help="JSONL, for contrast and score.")
@click.option("--lookalike", type=FILE, help="JSONL, harmless ones, for both.")
@click.option("--task", type=FILE, help="JSONL, the target's own work, for score.")
@click.option("--general", type=FILE, help="JSONL, ordinary prompts, for score.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--version", required=True, help="Of what is written, such as 1.1.0.")
@click.option("--out", required=True, type=FOLDER, help="New directory to write.")
@click.option("--device", default="auto", show_default=True)
@UNVERIFIED
@with_registry
@with_output
def select(
    output: Output,
    *,
    connect: Connect,
    vector: str,
    model: Path,
    adapter: Path | None,
    by: str,
    keep: int | None,
    latency: float | None,
    harmful: Path | None,
    lookalike: Path | None,
    task: Path | None,
    general: Path | None,
    seed: int,
    version: str,
    out: Path,
    device: str,
    allow_unverified_lineage: bool,
) -> None:
    """Rank a vector's layers on a target and keep the best of them.

    Writes another version of the vector, in which the others are zero. All layers are
    kept unless you ask otherwise: no ranking is shown to be as good.
    """
    canonical_version(version)
    refuse_existing(out)
    files = {
        "harmful": harmful,
        "lookalike": lookalike,
        "task": task,
        "general": general,
    }
    rows = _rows(by, files)
    pulled, _ = open_vector(
        output,
        connect,
        vector,
        model,
        allow_unverified_lineage=allow_unverified_lineage,
    )
    with torch_needed():
        from safegene.vectors.peft_format import save_vector
        from safegene.vectors.selection import select_for_target
        from safegene_client.loading import load_target

        target = load_target(model, adapter=adapter, device=device)
        found = select_for_target(
            target.model,
            target.tokenizer,
            pulled.vector,
            by=by,
            data=_data(rows),
            keep=keep,
            latency=latency,
            seed=seed,
        )
        manifest = save_vector(
            found.vector,
            out,
            namespace=pulled.manifest.namespace,
            name=pulled.manifest.name,
            version=version,
            license=pulled.manifest.license,
            description=pulled.manifest.description,
        )
    given = len(pulled.vector.layers)
    value, told = _selected(found, manifest, given, by=by, out=out)
    output.result(value, facts(told))


def _selected(
    found: "Selection", manifest: Manifest, given: int, *, by: str, out: Path
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What is printed as JSON, and what in words."""
    kept = list(found.vector.layers)
    told = [
        ("vector", manifest.identity),
        ("digest", str(manifest.digest)),
        ("kept", f"{len(kept)} of {given} layers, by {by}"),
    ]
    if found.slowdown is not None:
        told.append(("decoding", f"{found.slowdown:.3f} times as long a token"))
    told.append(("written to", str(out)))
    scores = found.vector.layer_scores.items()
    value = {
        "identity": manifest.identity,
        "digest": str(manifest.digest),
        "path": str(out),
        "by": by,
        "layers": kept,
        "scores": {str(layer): score for layer, score in scores},
        "slowdown": found.slowdown,
    }
    return value, told


def _rows(by: str, files: Files) -> dict[str, tuple[PromptRow, ...]]:
    """The rows of every file given; all that a ranking needs are there."""
    for name in NEEDED.get(by, ()):
        if files[name] is None:
            detail = f"--by {by} needs --{name} with the prompts to rank the layers on"
            raise UsageError(detail)
    return {name: read_rows(path) for name, path in files.items() if path is not None}


def _data(rows: dict[str, tuple[PromptRow, ...]]) -> "CalibrationData | None":
    from safegene.vectors.recalibrate import CalibrationData

    if not rows:
        return None
    return CalibrationData(
        harmful=rows.get("harmful", ()),
        lookalike=rows.get("lookalike", ()),
        task=rows.get("task", ()),
        general=rows.get("general", ()),
    )
