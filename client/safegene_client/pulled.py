"""What `Registry.pull` returns: a verified version that can be checked and applied."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.bundle import verify_directory
from safegene.artifact.calibration import Calibration, Granularity, refuse_negative
from safegene.artifact.compatibility import Verdict, require
from safegene.artifact.lineage import load_sketch
from safegene.artifact.manifest import LINEAGE_NAME, Manifest
from safegene.errors import CompatibilityError, UsageError
from safegene.evaluation.rows import PromptRow, read_rows
from safegene.vectors.choices import EffortLevel, Ranking, Solver
from safegene_client.answers import ResolvedVersion
from safegene_client.extras import torch_needed
from safegene_client.targets import describe_model, is_loaded

if TYPE_CHECKING:
    from safegene.vectors.attach import Attachment
    from safegene.vectors.recalibrate import Effort, Measured
    from safegene.vectors.selection import Selection
    from safegene.vectors.vector import SafetyVector

DEFAULT_BUDGET = 0.02
BUDGETS = {"distill": 0.005}
"""Defaults of vectors by how they were made, where that makes a difference: what a
trained one wins back, it wins within less; beyond, it refuses more harmless prompts
(docs/benchmarks/method.md)."""

Rows = str | Path | Iterable[PromptRow]
"""A JSON Lines file of prompts, or its rows."""

StageProgress = Callable[[str, int, int], None]
"""Called with the stage, what is done of it and what there is to do."""


@dataclass(frozen=True)
class PulledVector:
    """A version on this machine, verified."""

    manifest: Manifest
    path: Path
    """Its directory; in the cache it is read-only, shared and loadable by PEFT."""
    resolved: ResolvedVersion | None = None
    """What the registry said of it when it was pulled; None: no registry was asked."""

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Take a version's directory that was never pulled.

        Raises:
            ArtifactError: it is not a whole and consistent version.
        """
        path = Path(directory)
        return cls(verify_directory(path), path)

    @property
    def budget(self) -> float:
        """What recalibration takes by default, KL in nats per token."""
        return BUDGETS.get(self.manifest.recipe.method, DEFAULT_BUDGET)

    @property
    def digest(self) -> str:
        """The version's digest, `sha256:…`."""
        return str(self.manifest.digest)

    @property
    def identity(self) -> str:
        """`namespace/name@version`."""
        return self.manifest.identity

    @cached_property
    def vector(self) -> "SafetyVector":
        """The vector in memory; read and verified once.

        Raises:
            ArtifactError: the files were changed since they were pulled.
            UsageError: the `torch` extra is not installed.
        """
        with torch_needed():
            from safegene.vectors.peft_format import load_vector

            return load_vector(self.path)

    def check(self, model: Any) -> Verdict:
        """Judge whether the vector fits a model; never raises on bad news.

        Args:
            model: directory, parsed config, or loaded transformers or PEFT model. Its
                lineage is read from the weights where there are any.

        Raises:
            UsageError: that is no model.
        """
        sketch = load_sketch(self.path / LINEAGE_NAME, self.manifest.architecture)
        return describe_model(model).verdict(self.manifest.architecture, sketch)

    def recalibrate(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        harmful: Rows,
        lookalike: Rows,
        task: Rows,
        general: Rows | None = None,
        budget: float | None = None,
        seed: int = 0,
        allow_unverified_lineage: bool = False,
        allow_negative: bool = False,
        lookalike_weight: float = 1.0,
        granularity: Granularity = "layer",
        solver: Solver | str = Solver.TRUST_REGION,
        effort: "EffortLevel | Effort | str" = EffortLevel.NORMAL,
        progress: StageProgress | None = None,
        watch: "Callable[[Measured], None] | None" = None,
        spread: Callable[[Mapping[int | str, tuple[float, float]]], None] | None = None,
    ) -> Calibration:
        """Find the coefficients for one loaded model.

        Args:
            model: the target, loaded, nothing of the vector applied.
            tokenizer: its tokenizer; None loads the one beside the model's weights.
            harmful: prompts a safe model declines, as rows or a file.
            lookalike: harmless prompts that look like them.
            task: what the target is for.
            general: ordinary prompts of other kinds.
            budget: the most its behavior may move, KL in nats per token; None takes
                0.02, or 0.005 if the vector was distilled.
            seed: of everything that is drawn.
            allow_unverified_lineage: go on although lineage is unknown or differs.
            allow_negative: let coefficients fall below 0.
            lookalike_weight: how much refusing a look-alike prompt counts beside not
                refusing a harmful one; above 1 where over-refusal costs more.
            granularity: "layer", or "module" for one coefficient a module.
            solver: "trust-region"; "gradient-free" for targets that give no gradients;
                "adam" to compare with.
            effort: how much of the data each pass reads: "quick", "normal", "thorough",
                or numbers of your own.
            progress: called with stage, done and total.
            watch: called with every point that was measured, in order.
            spread: called with a 95 % interval of every coefficient, for the default
                solver; one more gradient pass.

        Raises:
            CompatibilityError: the vector does not fit the model.
            InvalidDataError: the data cannot be used; the message says why.
            UsageError: the model is not loaded, or has no tokenizer beside it; there is
                no such solver or effort.
        """
        self._require(model, allow_unverified_lineage=allow_unverified_lineage)
        with torch_needed():
            from safegene.vectors.recalibrate import (
                CalibrationData,
                Objective,
                recalibrate_coefficients,
            )

            data = CalibrationData(
                harmful=_rows(harmful),
                lookalike=_rows(lookalike),
                task=_rows(task),
                general=() if general is None else _rows(general),
            )
            return recalibrate_coefficients(
                model,
                _tokenizer_of(model) if tokenizer is None else tokenizer,
                self.vector,
                data,
                budget=self.budget if budget is None else budget,
                seed=seed,
                progress=progress,
                allow_negative=allow_negative,
                granularity=granularity,
                solver=str(solver),
                effort=_effort(effort),
                objective=Objective(lookalike_weight=lookalike_weight),
                watch=watch,
                spread=spread,
            )

    def select(
        self,
        model: Any,
        tokenizer: Any = None,
        *,
        by: Ranking | str = Ranking.ALL,
        harmful: Rows = (),
        lookalike: Rows = (),
        task: Rows = (),
        general: Rows = (),
        keep: int | None = None,
        latency: float | None = None,
        seed: int = 0,
        allow_unverified_lineage: bool = False,
    ) -> "Selection":
        """Rank the layers on one loaded model and keep the best of them.

        Args:
            model: the target, loaded, nothing of the vector applied.
            tokenizer: its tokenizer; None loads the one beside the model's weights.
            by: "all", "contrast" (needs harmful and look-alike prompts), "score" (task
                prompts as well) or "random".
            harmful: prompts a safe model declines, as rows or a file.
            lookalike: harmless prompts that look like them.
            task: what the target is for.
            general: ordinary prompts of other kinds.
            keep: how many layers stay; None keeps all, with their scores recorded.
            latency: instead, the most decoding may slow down, such as 1.05.
            seed: of everything that is drawn.
            allow_unverified_lineage: go on although lineage is unknown or differs.

        Returns:
            The vector with the layers that stay, to be saved as another version with
            `safegene.vectors.peft_format.save_vector`.

        Raises:
            CompatibilityError: the vector does not fit the model.
            InvalidDataError: too few prompts of a kind.
            UsageError: the ranking and the limits do not go together, the model is not
                loaded, or has no tokenizer beside it.
        """
        self._require(model, allow_unverified_lineage=allow_unverified_lineage)
        with torch_needed():
            from safegene.vectors.recalibrate import CalibrationData
            from safegene.vectors.selection import select_for_target

            data = CalibrationData(
                harmful=_rows(harmful),
                lookalike=_rows(lookalike),
                task=_rows(task),
                general=_rows(general),
            )
            return select_for_target(
                model,
                _tokenizer_of(model) if tokenizer is None else tokenizer,
                self.vector,
                by=by,
                data=data if any(data.sets().values()) else None,
                keep=keep,
                latency=latency,
                seed=seed,
            )

    def apply(
        self,
        model: Any,
        calibration: Calibration | None = None,
        *,
        allow_unverified_lineage: bool = False,
        allow_negative: bool = False,
    ) -> "Attachment":
        """Attach the vector to a loaded model; nothing in the model changes.

        Args:
            model: the target, loaded.
            calibration: coefficients for it; None means 1 in every layer.
            allow_unverified_lineage: go on although lineage is unknown or differs.
            allow_negative: take coefficients below 0, which remove safety.

        Returns:
            The attachment, to switch, dial and take off.

        Raises:
            CompatibilityError: the vector does not fit the model, or the calibration
                is for another version or family.
            UsageError: the model is not loaded, or a coefficient is negative.
        """
        self._require(model, allow_unverified_lineage=allow_unverified_lineage)
        if calibration is not None:
            self.require_calibration(calibration, model, allow_negative=allow_negative)
        with torch_needed():
            from safegene.vectors.attach import attach

            coefficients = None if calibration is None else calibration.values
            return attach(
                model, self.vector, coefficients, allow_negative=allow_negative
            )

    def require_calibration(
        self, calibration: Calibration, model: Any, *, allow_negative: bool = False
    ) -> None:
        """Refuse coefficients that were found for something else or remove safety.

        Args:
            calibration: the coefficients.
            model: what they are to be used for.
            allow_negative: take coefficients below 0.

        Raises:
            CompatibilityError: another version's, or another family's.
            UsageError: a coefficient is negative.
        """
        if not allow_negative:
            refuse_negative(calibration.values)
        if calibration.digest != self.digest:
            message = (
                f"the calibration is for {calibration.vector} ({calibration.digest}),"
                f" this is {self.identity} ({self.digest}); recalibrate with this one"
            )
            raise CompatibilityError(message)
        family = architecture_from_config(describe_model(model).config)
        if calibration.target_fingerprint != str(family.fingerprint):
            message = (
                "the calibration was made for a model of family"
                f" {calibration.target_fingerprint}, this one is of"
                f" {family.fingerprint}; recalibrate with this model"
            )
            raise CompatibilityError(message)

    def _require(self, model: Any, *, allow_unverified_lineage: bool) -> None:
        if not is_loaded(model):
            message = (
                "expected a loaded model (AutoModelForCausalLM.from_pretrained), got"
                f" {type(model).__name__}"
            )
            raise UsageError(message)
        verdict = self.check(model)
        require(verdict, allow_unverified_lineage=allow_unverified_lineage)


def _effort(effort: "EffortLevel | Effort | str") -> "Effort":
    from safegene.vectors.recalibrate import Effort

    if isinstance(effort, Effort):
        return effort
    return Effort(**EffortLevel.parse(effort).limits)


def _rows(rows: Rows) -> tuple[PromptRow, ...]:
    return read_rows(rows) if isinstance(rows, str | Path) else tuple(rows)


def _tokenizer_of(model: Any) -> Any:
    from transformers import AutoTokenizer

    place = getattr(model.config, "name_or_path", None) or getattr(
        model.config, "_name_or_path", None
    )
    try:
        if place:
            return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        message = f"no tokenizer beside the model at {place}; pass tokenizer=…"
        raise UsageError(message) from error
    message = "the model does not say where it came from; pass its tokenizer"
    raise UsageError(message)
