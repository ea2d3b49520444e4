"""Which vectors fit each of many models; what is asked twice is answered once."""

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from safegene.artifact.compatibility import (
    Level,
    Reason,
    Verdict,
    compare,
    read_target,
)
from safegene.artifact.unsupported import INVALID_CONFIG
from safegene_registry import matching_repository
from safegene_registry.access import Reader
from safegene_registry.attestations.shown import Shown
from safegene_registry.compatibility_schemas import (
    CompatibilityAnswer,
    FleetAnswer,
    FleetQuestion,
    config_fault,
)
from safegene_registry.matching import (
    check_question,
    filter_of,
    match,
    shown_of,
    summary_of,
)
from safegene_registry.matching_repository import Found
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.schemas import ArchitectureSummary
from safegene_registry.services import Services

FAMILIES = 50
"""That one statement is about."""

MAX_MODULES = 500_000
"""Of all different models together; real ones have some hundred each."""


class Model(NamedTuple):
    """What is known of a model. Its structure is not kept: a thousand are too large."""

    family: ArchitectureSummary | None
    verdict: Verdict
    """Of its own family's vectors, or why there is none."""
    modules: int = 0


def answer(services: Services, reader: Reader, question: FleetQuestion) -> FleetAnswer:
    """Which vectors fit each model of a fleet.

    Equal configs have one answer, and families are looked up once each.

    Raises:
        InvalidReferenceError: the namespace is malformed.
        ProblemError: `invalid-request`: the models are too large for one question.
    """
    check_question(question)
    places: dict[str, int] = {}
    asked: list[int] = []
    models: list[Model] = []
    for config in question.configs:
        fault = fault_of(config)
        # What is wrong with a config is all there is to say of it.
        key = json.dumps(config, sort_keys=True) if fault is None else f"! {fault}"
        asked.append(places.setdefault(key, len(places)))
        if len(places) > len(models):
            models.append(model_of(config, fault))
            if sum(model.modules for model in models) > MAX_MODULES:
                raise too_large(len(models))
    known = {model.family.fingerprint for model in models if model.family is not None}
    with services.database.reading() as session:
        found = heads_of(session, reader, sorted(known), question)
        shown = shown_of(session, chain.from_iterable(found.values()))
    answers = [about(model, found, shown) for model in models]
    return FleetAnswer(answers=answers, places=asked)


def fault_of(config: Any) -> str | None:
    """Why nothing can be told of a config, if that is so."""
    if isinstance(config, dict):
        return config_fault(config)
    return f"expected an object, got {type(config).__name__}"


def model_of(config: Any, fault: str | None) -> Model:
    """What is told of a model."""
    if fault is not None:
        reason = Reason(code=INVALID_CONFIG, detail=f"config.json: {fault}")
        return Model(None, Verdict(level=Level.INCOMPATIBLE, reasons=(reason,)))
    target = read_target(config)
    if target.architecture is None:
        refusal = Verdict(level=Level.INCOMPATIBLE, reasons=target.reasons)
        return Model(None, refusal)
    family = target.architecture
    verdict = compare(family, target)
    return Model(summary_of(family), verdict, len(family.modules))


def too_large(count: int) -> ProblemError:
    """The problem of models whose structures take long to work out."""
    detail = (
        f"The first {count} different models have more than {MAX_MODULES} linear"
        " modules; ask about fewer models at once."
    )
    fault = Fault("/configs", f"more than {MAX_MODULES} modules")
    return ProblemError(detail, "invalid-request", faults=[fault])


def heads_of(
    session: Session, reader: Reader, families: Sequence[str], question: FleetQuestion
) -> dict[str, list[Found]]:
    """The vectors of each family, a statement for some families at a time."""
    found: dict[str, list[Found]] = {}
    for start in range(0, len(families), FAMILIES):
        some = families[start : start + FAMILIES]
        for head in matching_repository.first_heads(
            session, reader, some, filter_of(question), limit=question.limit
        ):
            found.setdefault(head.fingerprint, []).append(head)
    return found


def about(
    model: Model, found: Mapping[str, Sequence[Found]], shown: Mapping[UUID, Shown]
) -> CompatibilityAnswer:
    """The answer about one model."""
    family, verdict = model.family, model.verdict
    if family is None:
        return CompatibilityAnswer(
            architecture=None, reasons=list(verdict.reasons), fits=[], others=[]
        )
    return CompatibilityAnswer(
        architecture=family,
        reasons=[],
        fits=[
            match(head, verdict, shown) for head in found.get(family.fingerprint, ())
        ],
        others=[],
    )
