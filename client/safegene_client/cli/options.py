"""Options that several commands share, and how their values are read."""

import functools
import os
import re
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import click

from safegene.artifact.calibration import Calibration
from safegene.artifact.compatibility import Verdict, require
from safegene.artifact.manifest import MANIFEST_NAME
from safegene.errors import InvalidDataError, UsageError
from safegene.files import require_writable
from safegene_client.cli.output import Output
from safegene_client.client import Registry
from safegene_client.pulled import PulledVector
from safegene_client.settings import DEFAULT_URL
from safegene_client.storage import storage_errors

Command = TypeVar("Command", bound=Callable[..., Any])

Connect = Callable[[], Registry]

FOLDER = click.Path(path_type=Path)
FILE = click.Path(path_type=Path, dir_okay=False)

MODEL = click.option(
    "--model", required=True, type=FOLDER, help="Directory of the target."
)
ADAPTER = click.option(
    "--adapter", type=FOLDER, help="The target's task adapter (PEFT), if it has one."
)
CALIBRATION = click.option(
    "--calibration", type=FILE, help="Coefficients; 1 in every layer without."
)
HTML = click.option("--html", type=FILE, help="Where a page with plots of it goes.")

UNVERIFIED = click.option(
    "--allow-unverified-lineage",
    is_flag=True,
    help="Go on although the model's weights do not descend from the base, or cannot "
    "be compared.",
)

UNWRITTEN = (
    "nothing half-written was left behind: free some space, or choose another place"
)

_LAYERS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

NEGATIVE = click.option(
    "--allow-negative",
    is_flag=True,
    help="Take coefficients below 0, which remove safety.",
)


class InOrder(click.Group):
    """Lists commands in the order of the work, not of the alphabet."""

    def list_commands(self, _: click.Context) -> list[str]:
        """Their names, in the order in which they were added."""
        return list(self.commands)


def example(*lines: str) -> str:
    """What stands under a command's help: lines that are not wrapped."""
    return "\n".join(["\b", "Example:", *[f"  {line}" for line in lines]])


def with_output(command: Command) -> Command:
    """Add `--json` and `-v`; the command gets an `Output` as its first argument."""

    @click.option(
        "--json", "as_json", is_flag=True, help="One JSON document on stdout."
    )
    @click.option("-v", "--verbose", count=True, help="Tell steps; twice: log all.")
    @functools.wraps(command)
    def wrapped(*args: Any, as_json: bool, verbose: int, **kwargs: Any) -> Any:
        quiet_libraries(verbose)
        return command(Output(as_json=as_json, verbose=verbose), *args, **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keyword


def with_registry(command: Command) -> Command:
    """Add `--url` and `--cache`; the command gets a function as `connect`.

    It gives the `Registry`, the same one every time. A command that is given a
    directory never calls it, so that settings it does not need cannot stop it.
    """

    @click.option(
        "--url",
        metavar="URL",
        help=f"Registry; else SAFEGENE_URL, else {DEFAULT_URL}.",
    )
    @click.option(
        "--cache", type=FOLDER, help="Cache; else SAFEGENE_CACHE, else the user's."
    )
    @functools.wraps(command)
    def wrapped(*args: Any, url: str | None, cache: Path | None, **kwargs: Any) -> Any:
        with ExitStack() as stack:

            @functools.cache
            def connect() -> Registry:
                return stack.enter_context(Registry(url, cache=cache))

            return command(*args, connect=connect, **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keyword


def quiet_libraries(verbose: int) -> None:
    """Keep the bars and notices of other libraries out of quiet commands."""
    if not verbose:
        warnings.simplefilter("ignore")
        for name, value in (
            ("HF_HUB_DISABLE_PROGRESS_BARS", "1"),
            ("TRANSFORMERS_VERBOSITY", "error"),
        ):
            os.environ.setdefault(name, value)


def is_vector_directory(text: str) -> bool:
    """Whether an argument names a version's directory rather than a reference."""
    path = Path(text).expanduser()
    return (path / MANIFEST_NAME).is_file() or (
        path.is_dir() and text.startswith((".", "/", "~"))
    )


def open_vector(
    output: Output,
    connect: Connect,
    text: str,
    model: Any,
    *,
    allow_unverified_lineage: bool,
) -> tuple[PulledVector, Verdict]:
    """A version that fits a model, from its directory or pulled, and the verdict.

    Args:
        output: for progress.
        connect: gives the registry, asked when `text` is a reference.
        text: directory or reference.
        model: what it is for; misfits are refused before anything large is fetched.
        allow_unverified_lineage: go on although lineage is unknown or differs.

    Raises:
        CompatibilityError: it does not fit the model.
    """
    if is_vector_directory(text):
        pulled = PulledVector.open(Path(text).expanduser())
    else:
        with output.progress(f"pulling {text}") as advance:
            pulled = connect().pull(
                text,
                model,
                allow_unverified_lineage=allow_unverified_lineage,
                progress=advance,
            )
    verdict = pulled.check(model)
    require(verdict, allow_unverified_lineage=allow_unverified_lineage)
    return pulled, verdict


def read_calibration(path: Path) -> Calibration:
    """A calibration file.

    Raises:
        InvalidDataError: it cannot be read.
        ManifestError: it breaks the format.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise InvalidDataError(message) from None
    return Calibration.from_bytes(data)


def parse_layers(text: str | None) -> tuple[int, ...] | None:
    """Layers such as `0-5,8`; None for none given.

    Raises:
        UsageError: it cannot be read.
    """
    if text is None:
        return None
    layers: set[int] = set()
    for part in text.split(","):
        match = _LAYERS.fullmatch(part.strip())
        first = int(match[1]) if match else 0
        last = int(match[2] or first) if match else -1
        if last < first:
            message = (
                f"--layers: expected numbers and ranges such as 0-5,8, got {text!r}"
            )
            raise UsageError(message)
        layers.update(range(first, last + 1))
    return tuple(sorted(layers))


def split_list(values: tuple[str, ...]) -> tuple[str, ...]:
    """Values of an option that may be repeated or hold commas."""
    return tuple(part for value in values for part in value.split(",") if part)


def refuse_existing(path: Path) -> None:
    """Refuse a place that is taken or out of reach before the work, not after.

    Raises:
        UsageError: there is something.
        LocalStorageError: nothing can be written there.
    """
    require_writable(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        message = f"{path} exists already; choose another --out or remove it first"
        raise UsageError(message)


def write_whole(path: Path, data: bytes) -> None:
    """Write a result file whole or not at all, over an older one.

    Raises:
        LocalStorageError: the disk is full or not writable.
    """
    work = path.with_name(f".{path.name}.part")
    with storage_errors(path, UNWRITTEN):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            work.write_bytes(data)
            work.replace(path)
        except BaseException:
            work.unlink(missing_ok=True)
            raise
