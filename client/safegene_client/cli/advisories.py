"""Commands about what is known to be wrong with versions."""

from pathlib import Path

import click

from safegene.artifact.reference import parse_reference
from safegene.errors import InvalidDataError, UsageError
from safegene_client.advisories import read_lock
from safegene_client.cli.options import (
    FILE,
    Connect,
    InOrder,
    example,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, table
from safegene_client.lifecycle_answers import Advisory
from safegene_client.notices import mended
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "safegene advisories acme/guard@1.2.0",
        "safegene advisories --lock safegene.lock --json",
    )
)
@click.argument("ref", required=False)
@click.option("--lock", type=FILE, help="All versions that this file names instead.")
@with_registry
@with_output
def advisories(
    output: Output, *, connect: Connect, ref: str | None, lock: Path | None
) -> None:
    """List what is known to be wrong with the version REF, or with a vector.

    A lock file names one version a line, as acme/guard@1.2.0 or by digest.
    """
    if (ref is None) == (lock is None):
        message = "give a vector, a version, or --lock with a file that names versions"
        raise UsageError(message)
    wanted = [parse_reference(ref)] if ref is not None else read_lock(lock or Path())
    registry = connect()
    found = [(one, registry.advisories(one)) for one in wanted]
    rows = [
        (
            str(reference),
            str(advisory.number),
            plain_text(advisory.severity),
            plain_text(advisory.affected),
            _mended(advisory),
            plain_text(advisory.summary),
        )
        for reference, advisories in found
        for advisory in advisories
    ]
    output.result(
        {
            "advisories": [
                {"ref": str(reference), **advisory.model_dump(mode="json")}
                for reference, advisories in found
                for advisory in advisories
            ]
        },
        table("VERSION", "NUMBER", "SEVERITY", "AFFECTED", "", "SUMMARY", rows=rows)
        if rows
        else "no advisories",
    )


def _mended(advisory: Advisory) -> str:
    return "withdrawn" if advisory.withdrawn else mended(advisory.fixed_in)


@click.group(
    cls=InOrder,
    epilog=example(
        "safegene advisory withdraw acme/guard 1 --reason 'it was the target'",
    ),
)
def advisory() -> None:
    """Say what is wrong with versions of a vector, and take that back.

    It takes an owner's token of scope admin.
    """


@advisory.command(
    "publish",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene advisory publish acme/guard"
        " --affected '>=1.0,<1.2.1' --severity high --summary 'refuses code'"
        " --fixed-in 1.2.1",
    ),
)
@click.argument("vector")
@click.option(
    "--affected", metavar="RANGE", required=True, help="Versions that have it."
)
@click.option(
    "--severity",
    type=click.Choice(["low", "moderate", "high", "critical"]),
    required=True,
    help="How bad it is.",
)
@click.option("--summary", required=True, help="One line, shown at every pull.")
@click.option("--details", type=FILE, help="File with the rest, as text.")
@click.option("--fixed-in", metavar="VERSION", help="The first version without it.")
@with_registry
@with_output
def publish_advisory(
    output: Output,
    *,
    connect: Connect,
    vector: str,
    affected: str,
    severity: str,
    summary: str,
    details: Path | None,
    fixed_in: str | None,
) -> None:
    """Tell everybody who pulls a version of VECTOR in a range what is wrong with it."""
    text = "" if details is None else _read(details)
    found = connect().publish_advisory(
        vector,
        affected=affected,
        severity=severity,
        summary=summary,
        details=text,
        fixed_in=fixed_in,
    )
    output.result(
        found.model_dump(mode="json"),
        f"{vector} has advisory {found.number}: {plain_text(found.summary)}",
    )


@advisory.command(
    "withdraw",
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene advisory withdraw acme/guard 1"
        " --reason 'it was the target'",
    ),
)
@click.argument("vector")
@click.argument("number", type=click.IntRange(1))
@click.option("--reason", required=True, help="Why it does not stand.")
@with_registry
@with_output
def withdraw_advisory(
    output: Output, *, connect: Connect, vector: str, number: int, reason: str
) -> None:
    """Say that the advisory NUMBER on VECTOR does not stand; it stays in the list."""
    found = connect().withdraw_advisory(vector, number, reason)
    output.result(
        found.model_dump(mode="json"), f"advisory {number} on {vector} is withdrawn"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise InvalidDataError(message) from None
