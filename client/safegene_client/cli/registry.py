"""Commands that bring versions to a registry and from it: inspect, pull, push."""

import shutil
from pathlib import Path
from typing import Any

import click

from safegene.artifact.bundle import verify_directory
from safegene.artifact.manifest import MANIFEST_NAME, Manifest
from safegene.artifact.reference import parse_reference
from safegene.errors import UsageError
from safegene.files import fresh_directory
from safegene_client.answers import ResolvedVersion
from safegene_client.cli.options import (
    FOLDER,
    UNVERIFIED,
    Connect,
    example,
    is_vector_directory,
    refuse_existing,
    with_output,
    with_registry,
)
from safegene_client.cli.output import Output, facts, size_text
from safegene_client.problems import plain_text


@click.command(
    epilog=example(
        "safegene inspect ./guard-vector",
        "safegene inspect acme/guard@~=1.0",
    )
)
@click.argument("vector", metavar="DIR|REF")
@with_registry
@with_output
def inspect(output: Output, *, connect: Connect, vector: str) -> None:
    """Show what a version is; check every byte of a directory."""
    if is_vector_directory(vector):
        manifest = verify_directory(Path(vector).expanduser())
        output.result(
            {**_document(manifest), "verified": True},
            _manifest_facts(manifest, "verified: every file is what it should be"),
        )
        return
    reference = parse_reference(vector)
    registry = connect()
    resolved = registry.resolve(reference)
    manifest = registry.manifest(resolved)
    detail = registry.describe(reference.vector)
    versions = [entry.version for entry in detail.versions]
    yanked = {
        entry.version: plain_text(entry.yanked.reason)
        for entry in detail.versions
        if entry.yanked is not None
    }
    purged = {entry.version for entry in detail.versions if entry.purged is not None}
    listed = [
        f"{v} (purged)" if v in purged else f"{v} (yanked)" if v in yanked else v
        for v in versions
    ]
    output.result(
        {
            **_document(manifest),
            "versions": versions,
            "yanked": yanked,
            "deprecated": said_of(resolved)["deprecated"],
            "advisories": said_of(resolved)["advisories"],
            "verified": False,
        },
        _manifest_facts(manifest, f"versions: {', '.join(listed)}"),
    )


def _document(manifest: Manifest) -> dict[str, Any]:
    return {
        "identity": manifest.identity,
        "digest": str(manifest.digest),
        "size_bytes": manifest.size_bytes,
        "manifest": manifest.model_dump(mode="json"),
    }


def _manifest_facts(manifest: Manifest, last: str) -> Any:
    family = manifest.architecture
    leaves = sorted({path.rpartition(".")[2] for path in manifest.footprint})
    touched = [entry.index for entry in manifest.layers if entry.selected]
    name, _, value = last.partition(": ")
    return facts(
        [
            ("vector", manifest.identity),
            ("digest", str(manifest.digest)),
            ("description", manifest.description or "none"),
            ("license", manifest.license),
            (
                "base model",
                f"{manifest.base_model.id} ({manifest.base_model.revision})",
            ),
            (
                "fits",
                f"{family.model_type}, {family.layers} layers, hidden size"
                f" {family.hidden_size} ({family.fingerprint})",
            ),
            ("rank", str(manifest.rank)),
            ("modules", f"{len(manifest.footprint)}: {', '.join(leaves)}"),
            ("layers", f"{len(touched)} of {family.layers}"),
            ("method", f"{manifest.recipe.method}, by {manifest.recipe.tool}"),
            ("size", size_text(manifest.size_bytes)),
            (name, value),
        ]
    )


@click.command(
    epilog=example(
        "safegene pull acme/guard@~=1.0 --model ./my-model",
    )
)
@click.argument("ref")
@click.option("--model", help="Refuse what does not fit this model, before fetching.")
@click.option("--out", type=FOLDER, help="Copy the verified files there as well.")
@UNVERIFIED
@with_registry
@with_output
def pull(
    output: Output,
    *,
    connect: Connect,
    ref: str,
    model: str | None,
    out: Path | None,
    allow_unverified_lineage: bool,
) -> None:
    """Bring the version REF onto this machine, every byte verified.

    REF is namespace/name, or that with @1.2.0, @~=1.2, :latest or @sha256:….
    """
    if out is not None:
        refuse_existing(out)
    with output.progress(f"pulling {ref}") as advance:
        pulled = connect().pull(
            ref,
            model,
            allow_unverified_lineage=allow_unverified_lineage,
            progress=advance,
        )
    place = pulled.path
    if out is not None:
        with fresh_directory(out) as work:
            for entry in (
                *(file.path for file in pulled.manifest.files),
                MANIFEST_NAME,
            ):
                shutil.copyfile(pulled.path / entry, work / entry)
            verify_directory(work)
        place = out
    output.result(
        {
            "identity": pulled.identity,
            "digest": pulled.digest,
            "path": str(place),
            "size_bytes": pulled.manifest.size_bytes,
            **said_of(pulled.resolved),
        },
        f"{pulled.identity} {pulled.digest}",
        str(place),
    )


def said_of(resolved: ResolvedVersion | None) -> dict[str, Any]:
    """What a registry says of a version, for machines; nothing if none was asked."""
    if resolved is None:
        return {}
    said = {"yanked", "deprecated", "advisories"}
    return resolved.model_dump(mode="json", include=said)


@click.command(
    epilog=example(
        "SAFEGENE_TOKEN=sgt_… safegene push ./guard-vector",
    )
)
@click.argument("directory", type=FOLDER)
@with_registry
@with_output
def push(output: Output, *, connect: Connect, directory: Path) -> None:
    """Publish the version in DIRECTORY.

    The token comes from SAFEGENE_TOKEN, never from the command line, where others
    could read it. Nothing is visible before everything is there; publishing the same
    again is a success.
    """
    if not directory.is_dir():
        message = f"no directory at {directory}; make one with `safegene extract`"
        raise UsageError(message)
    registry = connect()
    with output.progress(f"publishing {directory}") as advance:
        published = registry.publish(directory, progress=advance)
    output.result(
        {
            "identity": published.identity,
            "digest": published.digest,
            "size_bytes": published.size_bytes,
            "url": registry.url,
        },
        f"published {published.identity} {published.digest}",
    )
