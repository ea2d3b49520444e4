"""`safegene extract`: from a model pair to a version's directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safegene.artifact.digest import digest_file
from safegene.artifact.manifest import DataEntry, checked_line
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, prompts_of, read_rows
from safegene_client.cli.new_version import NewVersion, with_new_version
from safegene_client.cli.options import (
    FILE,
    example,
    parse_layers,
    split_list,
    with_output,
)
from safegene_client.cli.output import Output
from safegene_client.extras import torch_needed

if TYPE_CHECKING:
    from safegene.vectors.vector import SafetyVector


@click.command(
    epilog=example(
        "safegene extract --aligned ./aligned --degraded ./degraded \\",
        "  --name acme/guard --version 1.0.0 --out ./guard-vector",
    )
)
@click.option("--aligned", required=True, metavar="DIR|ID", help="The safe model.")
@click.option(
    "--degraded", required=True, metavar="DIR|ID", help="It with safety weakened."
)
@with_new_version
@click.option("--rank", type=int, default=16, show_default=True)
@click.option(
    "--energy",
    type=float,
    metavar="SHARE",
    help="Of each change to keep, such as 0.9; --rank is then the most.",
)
@click.option("--base-model", metavar="ID", help="What to call a --aligned directory.")
@click.option("--layers", metavar="LIST", help="Only these, such as 0-5,8.")
@click.option("--leaf", multiple=True, help="Only such modules: q_proj. May repeat.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, help="Modules at work at once; one a core, 4.")
@click.option("--harmful", type=FILE, help="JSONL to score layers with.")
@click.option("--lookalike", type=FILE, help="Its harmless counterpart.")
@click.option("--keep", type=int, help="Keep only so many layers of highest score.")
@click.option("--device", default="auto", show_default=True, help="For scoring.")
@with_output
def extract(
    output: Output,
    *,
    aligned: str,
    degraded: str,
    new: NewVersion,
    rank: int,
    energy: float | None,
    base_model: str | None,
    layers: str | None,
    leaf: tuple[str, ...],
    seed: int,
    workers: int | None,
    harmful: Path | None,
    lookalike: Path | None,
    keep: int | None,
    device: str,
) -> None:
    """Make a safety vector from an aligned and a degraded model.

    It is the difference of their weights at low rank. They are states of one model:
    directories with safetensors weights, or Hugging Face Hub ids. With --harmful and
    --lookalike the layers' contrast scores are measured on the degraded model and
    recorded.
    """
    chosen = parse_layers(layers)
    prompts = _scoring_prompts(harmful, lookalike, keep)
    with torch_needed():
        from safegene.vectors.checkpoint import Checkpoint
        from safegene.vectors.extract import extract_safety_vector

        weak = Checkpoint.open(degraded)
        with output.progress("extracting modules") as advance:
            vector = extract_safety_vector(
                Checkpoint.open(aligned, model_id=base_model),
                weak,
                rank=rank,
                energy=energy,
                leaf_names=split_list(leaf) or None,
                layers=chosen,
                data=_data_entries(harmful, lookalike),
                seed=seed,
                workers=workers,
                progress=advance,
            )
        if prompts is not None:
            output.say("scoring layers on the degraded model")
            vector = _scored(vector, weak.directory, prompts, keep, device)
        manifest = new.save(vector)
    new.show(output, vector, manifest)


Prompts = tuple[tuple[PromptRow, ...], tuple[PromptRow, ...]]


def _scoring_prompts(
    harmful: Path | None, lookalike: Path | None, keep: int | None
) -> Prompts | None:
    if (harmful is None) != (lookalike is None):
        message = "--harmful and --lookalike score layers together: give both or none"
        raise UsageError(message)
    if harmful is None or lookalike is None:
        if keep is not None:
            message = "--keep needs --harmful and --lookalike to score the layers with"
            raise UsageError(message)
        return None
    return read_rows(harmful), read_rows(lookalike)


def _data_entries(*files: Path | None) -> tuple[DataEntry, ...]:
    return tuple(
        DataEntry(
            name=checked_line(path.name, "a data file's name"),
            digest=str(digest_file(path)[0]),
            rows=len(read_rows(path)),
        )
        for path in files
        if path is not None
    )


def _scored(
    vector: "SafetyVector",
    directory: Path,
    prompts: Prompts,
    keep: int | None,
    device: str,
) -> Any:
    from safegene.vectors.select import layer_contrast, select_layers
    from safegene_client.loading import load_target

    target = load_target(directory, device=device)
    harmful, lookalike = prompts
    scores = layer_contrast(
        target.model,
        target.tokenizer,
        vector,
        harmful=prompts_of(harmful),
        harmless=prompts_of(lookalike),
    )
    return select_layers(vector, scores, count=keep)
