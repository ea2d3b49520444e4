"""What is shown of versions that fit: the best that was said of each."""

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.orm import Session

from safegene_registry.attestations import standing_repository
from safegene_registry.attestations.figures import best_calibration, best_evaluation
from safegene_registry.schemas import BestCalibration, BestEvaluation


class Shown(NamedTuple):
    """The best that was said of a version, by somebody trusted if there is any."""

    evaluation: BestEvaluation | None = None
    calibration: BestCalibration | None = None


NOTHING = Shown()


def find_shown(session: Session, versions: Mapping[UUID, str]) -> dict[UUID, Shown]:
    """What is shown of some versions, in one statement; others have `NOTHING`.

    Args:
        session: of the transaction.
        versions: their numbers, by their keys.
    """
    found: dict[UUID, Shown] = {}
    for row in standing_repository.best_said(session, versions):
        known = found.get(row.version_id, NOTHING)
        trusted = bool(row.trusted)
        if row.kind == "evaluation":
            version = versions[row.version_id]
            evaluation = best_evaluation(
                row, version=version, digest=row.digest, trusted=trusted
            )
            found[row.version_id] = known._replace(evaluation=evaluation)
        else:
            calibration = best_calibration(row, digest=row.digest, trusted=trusted)
            found[row.version_id] = known._replace(calibration=calibration)
    return found
