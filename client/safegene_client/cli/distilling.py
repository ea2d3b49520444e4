"""Options of `safegene extract` that read what models say: distill and project out."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from safegene.artifact.manifest import DataEntry
from safegene.errors import UsageError
from safegene.evaluation.rows import read_rows
from safegene_client.cli.options import FILE
from safegene_client.cli.output import Output

if TYPE_CHECKING:
    from safegene.vectors.checkpoint import Checkpoint
    from safegene.vectors.vector import SafetyVector

Command = TypeVar("Command", bound=Callable[..., Any])

DELTA, DISTILL = "delta", "distill"


@dataclass(frozen=True)
class Reading:
    """What the command was asked to learn from answers and activations.

    Raises:
        UsageError: options that do not go together.
    """

    method: str
    benign: Path | None
    epochs: int | None
    learning_rate: float | None
    benign_weight: float | None
    project: Path | None
    project_energy: float | None

    def __post_init__(self) -> None:
        if self.method != DISTILL:
            for name, value in {"--benign": self.benign, **self._training()}.items():
                if value is not None:
                    message = f"{name} is for --method {DISTILL}: give both or none"
                    raise UsageError(message)
        if self.project is None and self.project_energy is not None:
            message = "--project-energy needs --project: the prompts to project out"
            raise UsageError(message)

    @property
    def distills(self) -> bool:
        """Whether the vector is distilled."""
        return self.method == DISTILL

    @property
    def needs_harmful(self) -> bool:
        """Whether harmful prompts serve for more than scoring layers."""
        return self.distills or self.project is not None

    def check(
        self, harmful: Path | None, previous: Path | None, **refused: object
    ) -> None:
        """Refuse a command that lacks prompts, before any model is loaded.

        Args:
            harmful: `--harmful`.
            previous: `--from`, whose other layers must keep their bytes.
            refused: options that distillation has no use for, by name.

        Raises:
            UsageError: prompts are missing, or a refused option was given.
        """
        if self.distills and (harmful is None or self.benign is None):
            message = f"--method {DISTILL} needs --harmful and --benign to learn from"
            raise UsageError(message)
        if self.project is not None and harmful is None:
            message = "--project needs --harmful to tell how much safety survives"
            raise UsageError(message)
        if previous is not None and (self.distills or self.project is not None):
            message = (
                "--from keeps the bytes of other layers, which --method distill and"
                " --project cannot: leave it out"
            )
            raise UsageError(message)
        for name, value in refused.items():
            if self.distills and value is not None:
                message = f"--{name} is for --method {DELTA}: leave one of them out"
                raise UsageError(message)

    def distill(
        self,
        output: Output,
        pair: "tuple[Checkpoint, Checkpoint]",
        harmful: Path,
        device: str,
        **options: Any,
    ) -> "SafetyVector":
        """Distill a vector; `options` are those of `distill_safety_vector`."""
        from safegene.vectors.distill import (
            DistillData,
            DistillSettings,
            distill_safety_vector,
        )
        from safegene_client.loading import load_target

        given: dict[str, Any] = {
            name.removeprefix("--").replace("-", "_"): value
            for name, value in self._training().items()
            if value is not None
        }

        def load(directory: Path) -> tuple[Any, Any]:
            target = load_target(directory, device=device)
            return target.model, target.tokenizer

        with output.stages() as progress:
            return distill_safety_vector(
                *pair,
                DistillData(read_rows(harmful), read_rows(self.benign or harmful)),
                settings=DistillSettings(**given),
                load=load,
                progress=progress,
                **options,
            )

    def projected(
        self,
        output: Output,
        vector: "SafetyVector",
        degraded: Path,
        harmful: Path,
        *,
        device: str,
        entries: tuple[DataEntry, ...],
    ) -> "SafetyVector":
        """The vector without what `--project` spans; itself without that option."""
        if self.project is None:
            return vector
        from safegene.vectors.projection import project_out
        from safegene_client.loading import load_target

        target = load_target(degraded, device=device)
        energy = 0.99 if self.project_energy is None else self.project_energy
        with output.progress("projecting out") as advance:
            found = project_out(
                vector,
                target.model,
                target.tokenizer,
                benign=read_rows(self.project),
                harmful=read_rows(harmful),
                entries=entries,
                progress=advance,
                energy=energy,
            )
        left = found.recipe.parameters["surviving_signal"]
        output.say(f"safety signal left after projection: {left}")
        return found

    def _training(self) -> dict[str, int | float | None]:
        return {
            "--epochs": self.epochs,
            "--learning-rate": self.learning_rate,
            "--benign-weight": self.benign_weight,
        }


def with_reading(command: Command) -> Command:
    """Add the options; the command gets them as `reading`."""

    @click.option(
        "--method",
        type=click.Choice([DELTA, DISTILL]),
        default=DELTA,
        show_default=True,
        help="From weights, or trained from what the models say.",
    )
    @click.option("--benign", type=FILE, help="JSONL where distill changes nothing.")
    @click.option("--epochs", type=int, help="Of distill; 4.")
    @click.option("--learning-rate", type=float, help="Of distill; 0.001.")
    @click.option("--benign-weight", type=float, help="Of distill; 1.")
    @click.option("--project", type=FILE, help="JSONL whose inputs to project out.")
    @click.option(
        "--project-energy", type=float, help="Share of them to project out; 0.99."
    )
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        method: str,
        benign: Path | None,
        epochs: int | None,
        learning_rate: float | None,
        benign_weight: float | None,
        project: Path | None,
        project_energy: float | None,
        **kwargs: Any,
    ) -> Any:
        reading = Reading(
            method,
            benign,
            epochs,
            learning_rate,
            benign_weight,
            project,
            project_energy,
        )
        return command(*args, reading=reading, **kwargs)

    return wrapped  # type: ignore[return-value]  # click calls it by keyword
