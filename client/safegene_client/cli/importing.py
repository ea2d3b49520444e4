"""`safegene import`: from a PEFT LoRA adapter to a version's directory."""

import click

from safegene_client.cli.new_version import NewVersion, with_new_version
from safegene_client.cli.options import example, with_output
from safegene_client.cli.output import Output
from safegene_client.extras import torch_needed


@click.command(
    "import",
    epilog=example(
        "safegene import ./safety-lora --base ./aligned \\",
        "  --name acme/guard --version 1.0.0 --out ./guard-vector",
    ),
)
@click.argument("adapter", metavar="ADAPTER")
@click.option("--base", metavar="DIR|ID", help="Its base model; else the one it names.")
@with_new_version
@click.option("--base-model", metavar="ID", help="What to call a --base directory.")
@click.option("--revision", help="Branch, tag or commit of an adapter on the Hub.")
@with_output
def import_adapter(
    output: Output,
    *,
    adapter: str,
    base: str | None,
    new: NewVersion,
    base_model: str | None,
    revision: str | None,
) -> None:
    """Make a safety vector from a PEFT LoRA adapter.

    ADAPTER is a directory or a Hugging Face Hub id. Its scaling is folded in and the
    rank kept; what it does to the model stays the same. Adapters that are more than
    low-rank changes of linear weights (DoRA, biases, saved modules, embeddings) are
    refused.
    """
    with torch_needed():
        from safegene.vectors.checkpoint import Checkpoint
        from safegene.vectors.import_lora import import_lora, open_named_base

        output.say("reading the adapter")
        if base is None:
            model = open_named_base(adapter, revision=revision, model_id=base_model)
        else:
            model = Checkpoint.open(base, model_id=base_model)
        vector = import_lora(adapter, model, revision=revision)
        manifest = new.save(vector)
    new.show(output, vector, manifest)
