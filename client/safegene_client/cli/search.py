"""`safegene search`: vectors by name, by facts, and by what was measured of them."""

from typing import Any, Literal

import click

from safegene_client.answers import VectorSummary
from safegene_client.cli.figures import gain_text, over_refusal_text
from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output, used_columns
from safegene_client.searching import Evaluated, Order

HEADINGS = (
    *("VECTOR", "NEWEST", "FAMILY", "BASE MODEL"),
    *("GAIN", "OVER-REFUSAL", "DESCRIPTION"),
)
SAMPLES = click.IntRange(1)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
J = click.FloatRange(-1, 1, min_open=True, max_open=True)


@click.command(
    epilog=example(
        "safegene search guard --namespace acme",
        "safegene search --family llama --over-refusal-at-most 0.1 --sort j",
    )
)
@click.argument("query", default="")
@click.option("--namespace", help="Only vectors of this namespace.")
@click.option("--base-model", metavar="ID", help="Only vectors of this base model.")
@click.option("--family", metavar="TYPE", help="Only of this model_type, as llama.")
@click.option("--depth", type=click.IntRange(1), help="Only of so many layers.")
@click.option("--license", "licence", metavar="SPDX", help="Only of this licence.")
@click.option("--rank", type=int, help="Only of this rank.")
@click.option("--j-at-least", type=J, help="Lower end of J's interval.")
@click.option("--harm-at-most", type=SHARE, help="Upper end, harmful not refused.")
@click.option("--over-refusal-at-most", type=SHARE, help="Upper end, harmless refused.")
@click.option("--harmful-samples", type=SAMPLES, help="Harmful prompts, at least.")
@click.option("--harmless-samples", type=SAMPLES, help="Harmless prompts, at least.")
@click.option("--against", metavar="SET", help="Its harmless set of prompts.")
@click.option(
    "--signed", is_flag=True, default=None, help="A trusted key has signed it."
)
@click.option(
    "--sort",
    type=click.Choice([str(order) for order in Order]),
    default=str(Order.NAME),
    show_default=True,
    help="By name, or the best J first.",
)
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@with_registry
@with_output
def search(
    output: Output,
    *,
    connect: Connect,
    query: str,
    namespace: str | None,
    base_model: str | None,
    family: str | None,
    depth: int | None,
    licence: str | None,
    rank: int | None,
    sort: Literal["name", "j"],
    limit: int,
    **evaluated: Any,
) -> None:
    """List the vectors whose name or description holds QUERY.

    What is asked of J, harm, over-refusal, samples and signatures, one evaluation by
    somebody whom the vector's namespace trusts has to show, all of it.
    """
    registry = connect()
    found = registry.search(
        query,
        namespace=namespace,
        base_model=base_model,
        family=family,
        layers=depth,
        license=licence,
        rank=rank,
        evaluated=Evaluated(**evaluated),
        sort=sort,
        limit=limit,
    )
    output.result(
        {"vectors": [item.model_dump(mode="json") for item in found]},
        used_columns(HEADINGS, [_cells(item) for item in found])
        if found
        else f"no vector at {registry.url} matches; `safegene push DIR` adds one",
    )


def _cells(item: VectorSummary) -> tuple[str, ...]:
    return (
        item.vector,
        item.latest.version,
        f"{item.architecture.model_type}, {item.architecture.layers} layers",
        item.base_model.id,
        gain_text(item.evaluation),
        over_refusal_text(item.evaluation),
        item.description,
    )
