"""`safegene extract`: from a model pair to a version's directory."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safegene.artifact.digest import digest_file
from safegene.artifact.manifest import DataEntry, checked_line
from safegene.artifact.reference import VectorName, canonical_version
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, prompts_of, read_rows
from safegene_client.cli.options import (
    FILE,
    FOLDER,
    example,
    parse_layers,
    refuse_existing,
    split_list,
    with_output,
)
from safegene_client.cli.output import Output, facts, size_text
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
@click.option("--name", required=True, metavar="NS/NAME", help="Name of the vector.")
@click.option("--version", required=True, help="Such as 1.0.0; PEP 440.")
@click.option("--out", required=True, type=FOLDER, help="New directory to write.")
@click.option("--rank", type=int, default=16, show_default=True)
@click.option("--license", "license_", default="Apache-2.0", show_default=True)
@click.option("--description", default="", help="One or two sentences for people.")
@click.option("--base-model", metavar="ID", help="What to call a --aligned directory.")
@click.option("--layers", metavar="LIST", help="Only these, such as 0-5,8.")
@click.option("--leaf", multiple=True, help="Only such modules: q_proj. May repeat.")
@click.option("--seed", type=int, default=0, show_default=True)
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
    name: str,
    version: str,
    out: Path,
    rank: int,
    license_: str,
    description: str,
    base_model: str | None,
    layers: str | None,
    leaf: tuple[str, ...],
    seed: int,
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
    vector_name = VectorName.parse(name)
    canonical_version(version)
    refuse_existing(out)
    chosen = parse_layers(layers)
    prompts = _scoring_prompts(harmful, lookalike, keep)
    with torch_needed():
        from safegene.vectors.checkpoint import Checkpoint
        from safegene.vectors.extract import extract_safety_vector
        from safegene.vectors.peft_format import save_vector

        weak = Checkpoint.open(degraded)
        with output.progress("extracting modules") as advance:
            vector = extract_safety_vector(
                Checkpoint.open(aligned, model_id=base_model),
                weak,
                rank=rank,
                leaf_names=split_list(leaf) or None,
                layers=chosen,
                data=_data_entries(harmful, lookalike),
                seed=seed,
                progress=advance,
            )
        if prompts is not None:
            output.say("scoring layers on the degraded model")
            vector = _scored(vector, weak.directory, prompts, keep, device)
        manifest = save_vector(
            vector,
            out,
            namespace=vector_name.namespace,
            name=vector_name.name,
            version=version,
            license=license_,
            description=description,
        )
    output.result(
        {
            "identity": manifest.identity,
            "digest": str(manifest.digest),
            "path": str(out),
            "size_bytes": manifest.size_bytes,
            "modules": len(manifest.footprint),
            "layers": list(vector.layers),
            "rank": manifest.rank,
            "recipe": manifest.recipe.model_dump(mode="json"),
        },
        facts(
            [
                ("vector", manifest.identity),
                ("digest", str(manifest.digest)),
                ("modules", f"{len(vector.factors)} in {len(vector.layers)} layers"),
                ("size", size_text(manifest.size_bytes)),
                ("written to", str(out)),
            ]
        ),
    )


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
