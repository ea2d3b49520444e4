"""Commands about aliases: names that move from one version to another."""

import click

from safegene.errors import PromotionRefusedError, UsageError
from safegene_client.cli.options import (
    Connect,
    InOrder,
    example,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, table
from safegene_client.cli.promotion import demands_text
from safegene_client.lifecycle import ANYTHING


@click.group(
    cls=InOrder,
    epilog=example(
        "safegene alias set acme/guard@1.2.0 stable --expect 1.1.0",
    ),
)
def alias() -> None:
    """Move names such as `stable` from one version to another.

    Who asks for acme/guard:stable gets the version that it points at.
    """


@alias.command(
    "set",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene alias set acme/guard@1.2.0 stable",
        "SAFEGENE_TOKEN=sgt_… safegene alias set acme/guard:canary stable"
        " --expect 1.1.0",
    ),
)
@click.argument("ref")
@click.argument("name")
@click.option("--expect", metavar="VERSION", help="Only if it points there now.")
@click.option("--new", is_flag=True, help="Only if there is none of this name yet.")
@with_registry
@with_output
def set_alias(
    output: Output,
    *,
    connect: Connect,
    ref: str,
    name: str,
    expect: str | None,
    new: bool,
) -> None:
    """Have the alias NAME point at the version REF.

    A version that was yanked is refused, and one that the namespace's policy does not
    let through; `policy check` tells before. With --expect or --new nothing is changed
    if somebody else was faster.
    """
    if new and expect is not None:
        message = "--expect and --new exclude each other; give one of them"
        raise UsageError(message)
    expected = None if new else expect or ANYTHING
    try:
        found = connect().set_alias(ref, name, expected=expected)
    except PromotionRefusedError as refused:
        output.talk(*demands_text(refused.demands))
        raise
    output.result(found.model_dump(mode="json"), f"{found.alias} is {found.version}")


@alias.command(
    "list",
    epilog=example(
        "safegene alias list acme/guard",
    ),
)
@click.argument("vector")
@with_registry
@with_output
def list_aliases(output: Output, *, connect: Connect, vector: str) -> None:
    """List the aliases of VECTOR; `latest`, which every vector has, is left out."""
    found = connect().aliases(vector)
    rows = [
        (
            item.alias,
            item.version + (" (yanked)" if item.yanked else ""),
            "protected" if item.protected else "",
            item.moved_at,
        )
        for item in found
    ]
    output.result(
        {"aliases": [item.model_dump(mode="json") for item in found]},
        table("ALIAS", "VERSION", "", "SINCE", rows=rows)
        if found
        else f"{vector} has no aliases but latest",
    )


@alias.command(
    "history",
    epilog=example(
        "safegene alias history acme/guard stable",
    ),
)
@click.argument("vector")
@click.argument("name")
@with_registry
@with_output
def history(output: Output, *, connect: Connect, vector: str, name: str) -> None:
    """Show what the alias NAME of VECTOR pointed at, the last move first.

    Members of the namespace also see who moved it.
    """
    found = connect().alias_history(vector, name)
    rows = [
        (
            str(item.number),
            item.from_version or "-",
            item.to_version or "removed",
            item.at,
            item.by or "",
        )
        for item in found
    ]
    output.result(
        {"moves": [item.model_dump(mode="json") for item in found]},
        table("MOVE", "FROM", "TO", "AT", "BY", rows=rows),
    )


@alias.command(
    "remove",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene alias remove acme/guard canary",
    ),
)
@click.argument("vector")
@click.argument("name")
@click.option("--expect", metavar="VERSION", help="Only if it points there now.")
@with_registry
@with_output
def remove(
    output: Output, *, connect: Connect, vector: str, name: str, expect: str | None
) -> None:
    """Forget the alias NAME of VECTOR; its history stays."""
    connect().remove_alias(vector, name, expected=expect or ANYTHING)
    output.result({"vector": vector, "removed": name}, f"{vector}:{name} is removed")


@alias.command(
    "protect",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene alias protect acme stable --mover ann",
        "SAFEGENE_TOKEN=sgt_… safegene alias protect acme/guard stable --off",
    ),
)
@click.argument("where")
@click.argument("name")
@click.option(
    "--mover",
    metavar="ACCOUNT",
    multiple=True,
    help="A member who may move it beside the owners; may be repeated.",
)
@click.option("--off", is_flag=True, help="Let all who publish move it again.")
@with_registry
@with_output
def protect(
    output: Output,
    *,
    connect: Connect,
    where: str,
    name: str,
    mover: tuple[str, ...],
    off: bool,
) -> None:
    """Let only owners and those they name move the alias NAME.

    WHERE is a vector, or a namespace for all of its vectors that have no rule of their
    own. It takes an owner's token of scope admin.
    """
    if off:
        if mover:
            message = "--off lets everybody who publishes move it; leave --mover out"
            raise UsageError(message)
        connect().unprotect_alias(where, name)
        output.result(
            {"where": where, "alias": name, "protected": False},
            f"{where}: whoever publishes moves {name}",
        )
        return
    rule = connect().protect_alias(where, name, mover)
    named = "".join(f", {account}" for account in rule.movers)
    output.result(
        {"where": where, "protected": True, **rule.model_dump(mode="json")},
        f"{where}: only owners{named} move {name}",
    )
