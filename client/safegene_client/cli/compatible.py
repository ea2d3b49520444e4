"""`safegene compatible`: what fits a model, how sure that is, and why others do not."""

from pathlib import Path
from typing import Any

import click

from safegene.errors import UsageError
from safegene_client.answers import CompatibilityAnswer, Match
from safegene_client.cli.figures import gain_text, kl_text, over_refusal_text
from safegene_client.cli.options import Connect, example, with_output, with_registry
from safegene_client.cli.output import Output, size_text, used_columns
from safegene_client.hub import describe_hub_model

HEADINGS = (
    *("VECTOR", "VERDICT", "LINEAGE", "GAIN", "OVER-REFUSAL", "COST"),
    *("BASE MODEL", "REASON"),
)


@click.command(
    epilog=example(
        "safegene compatible ./my-model --constraint '~=1.0' --explain",
        "safegene compatible org/model",
        "safegene compatible ./model.Q4_K_M.gguf",
    )
)
@click.argument("model")
@click.option("--constraint", metavar="RANGE", help="Only versions such as ~=1.0.")
@click.option("--namespace", help="Only vectors of this namespace.")
@click.option("--base-model", metavar="ID", help="Only vectors of this base model.")
@click.option("--license", "licence", metavar="SPDX", help="Only of this licence.")
@click.option("--max-rank", type=click.IntRange(1), help="Only up to this rank.")
@click.option("--revision", help="Branch, tag or commit of a model on the Hub.")
@click.option("--explain", is_flag=True, help="Every reason, not only the first.")
@click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True)
@with_registry
@with_output
def compatible(
    output: Output,
    *,
    connect: Connect,
    model: str,
    constraint: str | None,
    namespace: str | None,
    base_model: str | None,
    licence: str | None,
    max_rank: int | None,
    revision: str | None,
    explain: bool,
    limit: int,
) -> None:
    """Ask which vectors fit MODEL, and why others do not.

    MODEL is a directory, a config.json, a GGUF file or a Hugging Face Hub id. Where
    there are safetensors weights, in the directory or on the Hub, their lineage is
    compared as well: a few kilobytes of them are read. The name of a model that only an
    API serves is answered, too.
    """
    answer = connect().compatible(
        model_or_name(model, revision),
        constraint=constraint,
        namespace=namespace,
        base_model=base_model,
        license=licence,
        max_rank=max_rank,
        limit=limit,
    )
    if _is_only_a_name(model) and not any(
        reason.code == "closed-weights" for reason in answer.reasons
    ):
        message = (
            f"no model at {model}: expected a directory, a config.json, a GGUF file or"
            " a Hugging Face Hub id such as org/model"
        )
        raise UsageError(message)
    output.result(
        answer.model_dump(mode="json", exclude_none=True),
        *compatibility_text(answer, model, explain=explain),
    )


def model_or_name(text: str, revision: str | None = None) -> Any:
    """A path, a model on the Hub, or what is only a name to us.

    Raises:
        UsageError: the Hub has no such model for us, or a path has no revision.
        TransportError: the Hub could not be asked.
    """
    if _is_on_hub(text):
        return describe_hub_model(text, revision)
    if revision is not None:
        message = f"{text} is no Hugging Face Hub id and so has no revision {revision}"
        raise UsageError(message)
    return {"model": text} if _is_only_a_name(text) else text


def _is_on_hub(text: str) -> bool:
    """Whether it can be a Hub id: `org/model`, and nothing is there on this machine."""
    parts = text.split("/")
    return (
        len(parts) == 2  # noqa: PLR2004 - organisation and model
        and all(parts)
        and not text.startswith((".", "~"))
        and not Path(text).exists()
    )


def _is_only_a_name(text: str) -> bool:
    return "/" not in text and not text.startswith(".") and not Path(text).exists()


def compatibility_text(
    answer: CompatibilityAnswer, model: str, *, explain: bool
) -> list[Any]:
    """What people read: the family, then one line a vector."""
    if answer.architecture is None:
        return [
            f"nothing fits {model}:",
            *[f"  {reason.detail}" for reason in answer.reasons],
        ]
    family = answer.architecture
    head = (
        f"{model}: {family.model_type}, {family.layers} layers, hidden size"
        f" {family.hidden_size}; {len(answer.fits)} fit, {len(answer.others)} do not"
    )
    rows = [
        (*_cells(match), match.base_model.id, line)
        for match in (*answer.fits, *answer.others)
        for line in _reasons(match, explain=explain)
    ]
    parts: list[Any] = [head]
    if rows:
        parts.append(used_columns(HEADINGS, rows))
    return parts


def _cells(match: Match) -> tuple[str, ...]:
    best = match.evaluation
    figures = (gain_text(best), over_refusal_text(best), cost_text(match))
    return (match.identity, str(match.level), _sure(match), *figures)


def cost_text(match: Match) -> str:
    """What is fetched, and the KL of its best calibration."""
    size = "" if match.size_bytes is None else size_text(match.size_bytes)
    return ", ".join(part for part in (size, kl_text(match.calibration)) if part)


def _sure(match: Match) -> str:
    """How alike the weights are to the base model's: 1 is the same."""
    return "" if match.lineage is None else f"{float(match.lineage):.2f}"


def _reasons(match: Match, *, explain: bool) -> list[str]:
    details = [reason.detail for reason in match.reasons]
    if explain:
        return [*details, *match.notes] or [""]
    return details[:1] or [""]
