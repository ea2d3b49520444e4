"""What commands that make a vector share: its name, where it goes, how it is shown."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from safegene.artifact.manifest import Manifest
from safegene.artifact.reference import VectorName, canonical_version
from safegene_client.cli.options import FOLDER, refuse_existing
from safegene_client.cli.output import Output, facts, size_text

if TYPE_CHECKING:
    from safegene.vectors.vector import SafetyVector

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class NewVersion:
    """The version that a command is asked to make.

    Raises:
        InvalidReferenceError: the name or the version is not well formed.
        UsageError: the directory is taken.
        LocalStorageError: nothing can be written there.
    """

    name: str
    version: str
    out: Path
    license: str
    description: str

    def __post_init__(self) -> None:
        VectorName.parse(self.name)
        canonical_version(self.version)
        refuse_existing(self.out)

    def save(self, vector: "SafetyVector") -> Manifest:
        """Write a vector as this version; see `save_vector`."""
        from safegene.vectors.peft_format import save_vector

        name = VectorName.parse(self.name)
        return save_vector(
            vector,
            self.out,
            namespace=name.namespace,
            name=name.name,
            version=self.version,
            license=self.license,
            description=self.description,
        )

    def show(
        self, output: Output, vector: "SafetyVector", manifest: Manifest, **more: Any
    ) -> None:
        """Print what was made.

        Args:
            output: where to.
            vector: that was saved.
            manifest: that it led to.
            more: further entries of the JSON document.
        """
        output.result(
            {
                "identity": manifest.identity,
                "digest": str(manifest.digest),
                "path": str(self.out),
                "size_bytes": manifest.size_bytes,
                "modules": len(manifest.footprint),
                "layers": list(vector.layers),
                "rank": manifest.rank,
                "recipe": manifest.recipe.model_dump(mode="json"),
                **more,
            },
            facts(
                [
                    ("vector", manifest.identity),
                    ("digest", str(manifest.digest)),
                    (
                        "modules",
                        f"{len(vector.factors)} in {len(vector.layers)} layers",
                    ),
                    ("size", size_text(manifest.size_bytes)),
                    ("written to", str(self.out)),
                ]
            ),
        )


def with_new_version(command: Command) -> Command:
    """Add the options that name a new version; the command gets it as `new`.

    It is checked before the command begins: names, and whether the place is free.
    """

    @click.option(
        "--name", required=True, metavar="NS/NAME", help="Name of the vector."
    )
    @click.option("--version", required=True, help="Such as 1.0.0; PEP 440.")
    @click.option("--out", required=True, type=FOLDER, help="New directory to write.")
    @click.option("--license", "license_", default="Apache-2.0", show_default=True)
    @click.option("--description", default="", help="One or two sentences for people.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        name: str,
        version: str,
        out: Path,
        license_: str,
        description: str,
        **kwargs: Any,
    ) -> Any:
        new = NewVersion(name, version, out, license_, description)
        return command(*args, new=new, **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keyword
