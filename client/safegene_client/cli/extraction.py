"""`safegene extract`: from a model pair to a version's directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from safegene.artifact.digest import digest_file
from safegene.artifact.manifest import (
    MANIFEST_NAME,
    TENSORS_NAME,
    DataEntry,
    Manifest,
    checked_line,
)
from safegene.artifact.segments import changed_ranges
from safegene.errors import UsageError
from safegene.evaluation.rows import PromptRow, prompts_of, read_rows
from safegene_client.cli.distilling import Reading, with_reading
from safegene_client.cli.new_version import NewVersion, with_new_version
from safegene_client.cli.options import (
    FILE,
    FOLDER,
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
@click.option("--rank", type=int, help="Directions a module; 16, or as --from has.")
@click.option(
    "--energy",
    type=float,
    metavar="SHARE",
    help="Of each change to keep, such as 0.9; --rank is then the most.",
)
@click.option("--base-model", metavar="ID", help="What to call a --aligned directory.")
@click.option(
    "--from",
    "previous",
    type=FOLDER,
    metavar="DIR",
    help="An older version; all but --layers is kept, byte for byte.",
)
@click.option("--layers", metavar="LIST", help="Only these, such as 0-5,8.")
@click.option("--leaf", multiple=True, help="Only such modules: q_proj. May repeat.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--workers", type=int, help="Modules at work at once; one a core, 4.")
@click.option(
    "--harmful", type=FILE, help="JSONL to distill from, to score layers with."
)
@click.option("--lookalike", type=FILE, help="Its harmless counterpart.")
@click.option("--keep", type=int, help="Keep only so many layers of highest score.")
@with_reading
@click.option("--device", default="auto", show_default=True, help="To run models on.")
@with_output
def extract(
    output: Output,
    *,
    aligned: str,
    degraded: str,
    new: NewVersion,
    rank: int | None,
    energy: float | None,
    base_model: str | None,
    previous: Path | None,
    layers: str | None,
    leaf: tuple[str, ...],
    seed: int,
    workers: int | None,
    harmful: Path | None,
    lookalike: Path | None,
    keep: int | None,
    reading: Reading,
    device: str,
) -> None:
    """Make a safety vector from an aligned and a degraded model.

    It is the difference of their weights at low rank. They are states of one model:
    directories with safetensors weights, or Hugging Face Hub ids. With --harmful and
    --lookalike the layers' contrast scores are measured on the degraded model and
    recorded. With --from only --layers are extracted again, for a hotfix. With --method
    distill factors are trained instead, to answer --harmful as the aligned model does
    and --benign as the degraded one. With --project they lose what its prompts would
    feel.
    """
    chosen = parse_layers(layers)
    reading.check(harmful, previous, energy=energy, workers=workers)
    only_scores = None if reading.needs_harmful and lookalike is None else harmful
    prompts = _scoring_prompts(only_scores, lookalike, keep)
    _check_previous(previous, chosen, leaf, keep)
    with torch_needed():
        from safegene.vectors.checkpoint import Checkpoint
        from safegene.vectors.extract import DEFAULT_RANK

        strong = Checkpoint.open(aligned, model_id=base_model)
        weak = Checkpoint.open(degraded)
        whole: dict[str, Any] = {
            "rank": DEFAULT_RANK if rank is None else rank,
            "leaf_names": split_list(leaf) or None,
            "layers": chosen,
            "seed": seed,
        }
        data = _data_entries(harmful, lookalike)
        if reading.distills and harmful is not None:
            entries = (*data, *_data_entries(reading.benign))
            vector = reading.distill(
                output, (strong, weak), harmful, device, entries=entries, **whole
            )
        else:
            limits = {"energy": energy, "data": data, "workers": workers}
            vector = _difference(
                output, (strong, weak), previous, whole, limits, rank=rank
            )
        if harmful is not None:
            vector = reading.projected(
                output,
                vector,
                weak.directory,
                harmful,
                device=device,
                entries=_data_entries(reading.project),
            )
        if prompts is not None:
            output.say("scoring layers on the degraded model")
            vector = _scored(vector, weak.directory, prompts, keep, device)
        manifest = new.save(vector)
    if previous is None:
        new.show(output, vector, manifest)
    else:
        new.show(output, vector, manifest, changed_bytes=_changed(previous, manifest))


def _check_previous(
    previous: Path | None,
    layers: tuple[int, ...] | None,
    leaf: tuple[str, ...],
    keep: int | None,
) -> None:
    if previous is None:
        return
    if not layers:
        message = "--from needs --layers: the ones to extract again, such as 4,7-9"
        raise UsageError(message)
    if leaf or keep is not None:
        message = (
            "--from takes the modules and the selection of the older version: leave"
            f" {'--leaf' if leaf else '--keep'} out"
        )
        raise UsageError(message)


def _changed(previous: Path, manifest: Manifest) -> int:
    """Bytes of the tensor file that who holds the older version has to fetch."""
    older = Manifest.from_bytes((previous / MANIFEST_NAME).read_bytes())
    ranges = changed_ranges(
        older.file(TENSORS_NAME).segments or (),
        manifest.file(TENSORS_NAME).segments or (),
    )
    return sum(end - start for start, end in ranges)


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


def _difference(
    output: Output,
    pair: tuple[Any, Any],
    previous: Path | None,
    whole: Mapping[str, Any],
    limits: Mapping[str, Any],
    *,
    rank: int | None,
) -> Any:
    """The difference of a pair at low rank, or a newer version of `previous`."""
    from safegene.vectors.extract import extract_safety_vector
    from safegene.vectors.update import load_previous, update_safety_vector

    with output.progress("extracting modules") as advance:
        if previous is None:
            aligned, degraded = pair
            return extract_safety_vector(
                aligned, degraded, **whole, **limits, progress=advance
            )
        return update_safety_vector(
            load_previous(previous),
            *pair,
            **limits,
            layers=whole["layers"] or (),
            rank=rank,
            seed=whole["seed"],
            progress=advance,
        )
