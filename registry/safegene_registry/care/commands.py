"""The commands that look after the data.

They may run beside any number of replicas that serve the registry.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from safegene_registry.command_line import data_option, opened, say

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document instead of lines."
)


class Duration(click.ParamType[timedelta]):
    """A time as the settings have it: `P1D`, `PT30S`."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Read it; refuse what is none, or below zero."""
        from pydantic import TypeAdapter, ValidationError

        if isinstance(value, timedelta):
            return value
        try:
            found = TypeAdapter(timedelta).validate_python(value)
        except ValidationError:
            found = timedelta(-1)
        if found < timedelta(0):
            message = f"expected a duration such as P1D or PT30S, got {value!r}"
            self.fail(message, param, ctx)
        return found


def show(document: dict[str, Any]) -> None:
    """Print a JSON document."""
    say(json.dumps(document, indent=2, ensure_ascii=False))


@click.command()
@data_option
@click.option("--dry-run", is_flag=True, help="Remove nothing, only say what would be.")
@click.option(
    "--grace",
    type=Duration(),
    default=None,
    help="Leave blobs written within this time.  [default: the setting BLOB_GRACE]",
)
@json_option
def gc(
    data: Path | None, *, dry_run: bool, grace: timedelta | None, as_json: bool
) -> None:
    """Clear away what nobody needs: expired uploads, blobs that no version names.

    One line each on standard output: what it was, its name, and of a blob its size in
    bytes. The registry may be running meanwhile. Exit code 1: some of it could not be
    removed now.
    """
    from safegene_registry.care.collection import collect

    with opened(data, make=False, log_level="WARNING") as services:
        done = collect(services, grace=grace, dry_run=dry_run)
    if as_json:
        show(done.document())
    else:
        for leftover in done.removed:
            size = f" {leftover.size_bytes}" if leftover.kind == "blob" else ""
            say(f"{leftover.kind} {leftover.name}{size}")
    verb = "Would remove" if dry_run else "Removed"
    count = len(done.removed)
    say(
        f"{verb} {count} leftovers; their blobs have {done.freed_bytes} bytes.",
        err=True,
    )
    if done.kept:
        message = f"{len(done.kept)} blobs could not be removed now: run gc again"
        raise click.ClickException(message)


EXIT_LEFTOVERS = 3
EXIT_DAMAGED = 4


@click.command()
@data_option
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    default=100,
    show_default=True,
    metavar="PERCENT",
    help="Read and hash so many of the blobs, drawn anew each time.",
)
@click.option(
    "--repair",
    "wants_repair",
    is_flag=True,
    help="Do what the plan says, as far as nothing can be lost by it.",
)
@json_option
def fsck(
    data: Path | None, *, sample: float, wants_repair: bool, as_json: bool
) -> None:
    """Check every row against the blobs, and the blobs against their digests.

    And the attestations: their envelopes against the rows that say the same once more.
    One line for each finding: what it is, its name, what is wrong, what to do. The
    registry may be running meanwhile. Exit codes: 0 nothing found, 3 only leftovers,
    which gc clears away, 4 damage that is left.
    """
    from secrets import randbits

    from safegene_registry.care.fsck import examine
    from safegene_registry.care.repair import repair

    with opened(data, make=False, log_level="ERROR") as services:
        report = examine(services, share=sample / 100, seed=randbits(64))
        if wants_repair:
            repair(services, report)
    if as_json:
        show(report.document())
    else:
        for finding in report.findings:
            of = f" ({', '.join(finding.versions)})" if finding.versions else ""
            say(f"{finding.kind} {finding.name}{of}: {finding.detail}; {finding.plan}")
    for done in report.done:
        say(f"Done: {done}.", err=True)
    say(
        f"{len(report.findings)} findings in {report.versions} versions,"
        f" {report.attestations} attestations and {report.blobs} blobs,"
        f" {report.hashed_bytes} bytes of which were hashed.",
        err=True,
    )
    if report.left:
        context = click.get_current_context()
        context.exit(EXIT_DAMAGED if report.is_damaged else EXIT_LEFTOVERS)


backup_directory = click.argument(
    "directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path)
)


@click.command()
@backup_directory
@data_option
@json_option
def backup(directory: Path, data: Path | None, *, as_json: bool) -> None:
    """Copy the whole registry into DIR while it runs.

    DIR may hold backups already: blobs that it has are not copied again. Prints the
    name of the new snapshot. Exit code 4: it is whole but for blobs that the registry
    itself does not hold rightly; see fsck.
    """
    from safegene_registry.care.backup import back_up

    with opened(data, make=False, log_level="WARNING") as services:
        done = back_up(services, directory)
    if as_json:
        show(done.document())
    else:
        say(done.snapshot.path.name)
    say(
        f"{done.versions} versions, {done.blobs} blobs, {done.copied} of them new with"
        f" {done.copied_bytes} bytes.",
        err=True,
    )
    tell_damaged(done.snapshot.damaged)


@click.command()
@backup_directory
@click.option("--snapshot", default=None, help="Its name.  [default: the newest]")
@data_option
@json_option
def restore(
    directory: Path, snapshot: str | None, data: Path | None, *, as_json: bool
) -> None:
    """Make a backup in DIR the content of an empty registry.

    An embedded registry is made; a PostgreSQL database must have been migrated, with
    the version of safegene that made the backup. Any kind of registry takes backups of
    any other. Every blob is read back and hashed. All rows appear at once, at the end:
    a restoration that was interrupted is simply begun again.
    """
    from safegene_registry.care import restore as restoring

    with opened(data, make=True, log_level="WARNING") as services:
        done = restoring.restore(services, directory, snapshot)
    if as_json:
        show(done.document())
    say(
        f"Restored {done.versions} versions of {done.snapshot.taken_at}; {done.blobs}"
        f" blobs, {done.copied} of them copied.",
        err=True,
    )
    tell_damaged(done.snapshot.damaged)


def tell_damaged(digests: Sequence[str]) -> None:
    """End with what a backup does not have, if anything."""
    for digest in digests:
        say(f"The registry did not hold {digest} rightly: see fsck.", err=True)
    if digests:
        click.get_current_context().exit(EXIT_DAMAGED)


@click.command()
@click.argument("url")
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    help="Only vectors whose NAMESPACE/NAME matches, such as 'acme/*'; repeatable.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Has a token of the other registry, to mirror what is private there.",
)
@click.option(
    "--follow", is_flag=True, help="Go on, and take over what is new as it comes."
)
@click.option(
    "--pause",
    type=Duration(),
    default="PT5S",
    show_default=True,
    help="Between two looks for what is new.",
)
@data_option
@json_option
def mirror(
    url: str,
    patterns: tuple[str, ...],
    token_file: Path | None,
    data: Path | None,
    *,
    follow: bool,
    pause: timedelta,
    as_json: bool,
) -> None:
    """Take over the versions of the registry at URL that are not here yet.

    Manifests and files stay the same, byte for byte, and are checked as if they were
    published; yanks, deprecations, aliases and advisories follow, where nobody here has
    decided otherwise; so does what is said of versions, which counts by the key that
    signed it alone. The account `mirror` publishes. One that was interrupted goes on
    where it stopped. Exit code 1: something could not be taken over.
    """
    from threading import Event

    from safegene_registry.care import mirror as mirroring
    from safegene_registry.care.following import Follower
    from safegene_registry.care.upstream import Upstream

    token = None if token_file is None else token_file.read_text("ascii").strip()
    with (
        opened(data, make=True, log_level="ERROR") as services,
        Upstream(url, token) as upstream,
    ):
        run = mirroring.Run(services, upstream, partial(say, err=True))
        if follow:
            follower = Follower(run, patterns)
            follower.look()
            follower.go_on(pause.total_seconds(), Event())
        done = run.take_all(patterns)
    if as_json:
        show(done.document())
    say(
        f"{done.vectors} vectors: {len(done.published)} versions published,"
        f" {done.present} there already, {len(done.notices)} notices,"
        f" {len(done.refused)} refused; {done.fetched_bytes} bytes fetched.",
        err=True,
    )
    if done.refused:
        message = f"{len(done.refused)} versions could not be taken over"
        raise click.ClickException(message)
