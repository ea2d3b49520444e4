"""Commands about what a version has to show before an alias means it."""

import json
from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table

from safegene.artifact.promotion.policy import PromotionPolicy
from safegene_client.cli.options import (
    Connect,
    InOrder,
    example,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, table
from safegene_client.promotion_answers import Demand, Verdict


@click.group(
    cls=InOrder,
    epilog=example(
        "safegene policy show acme",
    ),
)
def policy() -> None:
    """Say what a version has to show before an alias may point at it."""


@policy.command(
    "show",
    epilog=example(
        "safegene policy show acme > policy.json",
    ),
)
@click.argument("namespace")
@with_registry
@with_output
def show(output: Output, *, connect: Connect, namespace: str) -> None:
    """Show the policy of NAMESPACE, as `policy set` takes it."""
    found = connect().policy(namespace)
    document = PromotionPolicy.model_validate(found.policy).document()
    output.say(f"policy {found.number} of {namespace}")
    output.result(
        found.model_dump(mode="json"),
        json.dumps(document, indent=2, ensure_ascii=False),
    )


@policy.command(
    "set",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene policy set acme policy.json --replaces 3",
    ),
)
@click.argument("namespace")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--replaces",
    metavar="NUMBER",
    type=click.IntRange(min=0),
    help="Only if this is the policy now; 0: if there is none.",
)
@with_registry
@with_output
def set_policy(
    output: Output,
    *,
    connect: Connect,
    namespace: str,
    file: Path,
    replaces: int | None,
) -> None:
    """Have moving aliases in NAMESPACE demand what FILE says, in JSON.

    It takes an owner's token of scope admin. A policy without rules demands nothing.
    """
    wanted = PromotionPolicy.from_bytes(file.read_bytes())
    found = connect().set_policy(namespace, wanted, expected=replaces)
    output.result(
        found.model_dump(mode="json"), f"{namespace} has policy {found.number}"
    )


@policy.command(
    "check",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene policy check acme/guard@1.2.0 stable",
    ),
)
@click.argument("ref")
@click.argument("name")
@with_registry
@with_output
def check(output: Output, *, connect: Connect, ref: str, name: str) -> int:
    """Show whether the alias NAME may point at the version REF; changes nothing.

    Exit code 1 if it may not.
    """
    found = connect().check_alias(ref, name)
    output.result(found.model_dump(mode="json"), *verdict_text(found))
    return 0 if found.allowed else 1


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene approve acme/guard@1.2.0 --alias stable",
    ),
)
@click.argument("ref")
@click.option("--alias", required=True, help="What it is approved for.")
@click.option("--withdraw", is_flag=True, help="Take your approval back.")
@with_registry
@with_output
def approve(
    output: Output, *, connect: Connect, ref: str, alias: str, withdraw: bool
) -> None:
    """Approve that an alias is moved to the version REF by somebody else.

    Not for who published the version.
    """
    if withdraw:
        connect().withdraw_approval(ref, alias)
        output.result(
            {"ref": ref, "alias": alias, "approved": False},
            f"{ref} is not approved by you for {alias} any more",
        )
        return
    found = connect().approve(ref, alias)
    output.result(
        {"ref": ref, "approved": True, **found.model_dump(mode="json")},
        f"{found.account} approves {ref} for {found.alias}",
    )


def verdict_text(verdict: Verdict) -> list[str | Table]:
    """A verdict for people."""
    may = "may" if verdict.allowed else "may not"
    head = f"{verdict.alias} {may} point at {verdict.version} (policy {verdict.policy})"
    if not verdict.demands:
        return [f"{head}: it demands nothing"]
    return [head, "", *demands_text(verdict.demands)]


def demands_text(demands: Iterable[Demand]) -> list[str | Table]:
    """Demands as a table, and what to do about each that is not met."""
    rows = [
        (
            demand.demand,
            part.measure,
            part.wanted,
            part.found or "-",
            "met" if part.met else part.missed_by or "missing",
        )
        for demand in demands
        for part in demand.parts
    ]
    found = table("DEMAND", "MEASURE", "WANTED", "FOUND", "MISSED BY", rows=rows)
    advice = [f"{one.demand}: {one.advice}" for one in demands if one.advice]
    return [found, *advice]
