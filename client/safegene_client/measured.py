"""The JSON of `safegene evaluate` as what can be said of a version.

Only counts are taken: the attestation computes its figures from them. Needs no torch.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from safegene import __version__
from safegene.artifact.attestation.predicates import (
    HARMFUL,
    LOOKALIKE,
    AnsweredSet,
    Evaluation,
    Outcomes,
)
from safegene.artifact.canonical import canonical_json
from safegene.artifact.digest import digest_bytes
from safegene.errors import InvalidDataError
from safegene.evaluation.evaluation import Evaluation as Measured
from safegene.evaluation.evaluation import OutcomeCounts, PromptOutcome, counts
from safegene.evaluation.judge import RULES
from safegene.evaluation.report import Report

REPAIRED = "repaired"
"""What `evaluate --vector` calls the model with the vector."""


def read_measured(
    path: Path, *, model: str | None = None, against: str = LOOKALIKE
) -> tuple[Evaluation, str | None]:
    """Read a report or the evaluation of one model.

    Args:
        path: what `--out` or `--evaluations` of `safegene evaluate` wrote.
        model: which of a report's models; None: its only one, else `repaired`.
        against: name of the harmless set that J is taken on.

    Returns:
        What can be said, and the digest of the version that was measured, where the
        file tells.

    Raises:
        InvalidDataError: it cannot be read, or has no such model or sets.
    """
    try:
        text = path.read_text(encoding="utf-8")
        is_report = "models" in json.loads(text)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        message = f"{path}: expected the JSON of `safegene evaluate`: {error}"
        raise InvalidDataError(message) from None
    if not is_report:
        found = Measured.from_json(text)
        name = model or path.stem
        return _evaluation(path, name, found.answers, found.judge, against), None
    report = Report.from_json(text)
    name = _chosen(path, report, model)
    judge = report.judges.get(name, RULES)
    said = _evaluation(path, name, report.answers[name], judge, against)
    return said, report.facts.get("digest")


def _chosen(path: Path, report: Report, model: str | None) -> str:
    names = list(report.answers)
    found = model or (names[0] if len(names) == 1 else REPAIRED)
    if found not in names:
        message = (
            f"{path}: expected --model to name one of {', '.join(names)}, got {found}"
        )
        raise InvalidDataError(message)
    return found


def _evaluation(
    path: Path,
    model: str,
    answers: Sequence[PromptOutcome],
    judge: str,
    against: str,
) -> Evaluation:
    grouped: dict[str, list[PromptOutcome]] = {}
    for answer in answers:
        grouped.setdefault(answer.set, []).append(answer)
    missing = {HARMFUL, against} - grouped.keys()
    if missing:
        message = (
            f"{path}: {model} has no answers of the set {min(missing)!r}, only of"
            f" {', '.join(grouped) or 'none'}"
        )
        raise InvalidDataError(message)
    try:
        return Evaluation.of(
            {name: _answered(found) for name, found in grouped.items()},
            model=model,
            judge=judge,
            tool=f"safegene/{__version__}",
            against=against,
            prompts=_prompts(answers),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "/".join(map(str, first["loc"]))
        message = f"{path}: {model} cannot be attested: {place}: {first['msg']}"
        raise InvalidDataError(message) from None


def _answered(answers: Sequence[PromptOutcome]) -> AnsweredSet:
    grouped: dict[str, list[PromptOutcome]] = {}
    for answer in answers:
        if answer.category is not None:
            grouped.setdefault(answer.category, []).append(answer)
    categories = {name: _outcomes(found) for name, found in sorted(grouped.items())}
    return AnsweredSet.of(_outcomes(answers), categories)


def _outcomes(answers: Sequence[PromptOutcome]) -> Outcomes:
    counted: OutcomeCounts = counts([answer.outcome for answer in answers])
    named: dict[str, Any] = {str(outcome): n for outcome, n in counted.items()}
    return Outcomes(**named)


def _prompts(answers: Sequence[PromptOutcome]) -> str:
    """Digest of what was asked: sets and ids, whatever their order."""
    ids = sorted([answer.set, answer.id] for answer in answers)
    return str(digest_bytes(canonical_json(ids)))
