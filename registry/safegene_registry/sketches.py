"""Lineage sketches: the asker's, and those of base models, which are published files.

A sketch tells nothing but how alike two models' weights are at a few thousand places.
What the asker claims is believed here; the client compares again before it applies.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO
from uuid import UUID

from sqlalchemy.orm import Session

from safegene.artifact.architecture import Architecture
from safegene.artifact.digest import Digest
from safegene.artifact.lineage import load_sketch, sketch_positions
from safegene.artifact.manifest import LINEAGE_NAME
from safegene_registry import matching_repository
from safegene_registry.matching_repository import Found
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.services import Services

READ_BYTES = 1 << 20


def check_sketch(target: Architecture, sketch: Sequence[float]) -> None:
    """Refuse a sketch that was not taken from a model of this family.

    Raises:
        ProblemError: `invalid-request`.
    """
    expected = sum(run.count for run in sketch_positions(target))
    if len(sketch) != expected:
        detail = (
            f"A lineage sketch of this family has {expected} values, got"
            f" {len(sketch)}; take it at the positions of docs/format.md, or leave it"
            " out."
        )
        fault = Fault("/sketch", f"expected {expected} values")
        raise ProblemError(detail, "invalid-request", faults=[fault])


def sketch_digests(session: Session, found: Sequence[Found]) -> dict[UUID, str]:
    """The digests of the files with the base models' sketches."""
    version_ids = [row.version_id for row in found]
    return matching_repository.file_digests(session, version_ids, LINEAGE_NAME)


def read_sketches(
    services: Services, family: Architecture, digests: Iterable[str]
) -> dict[str, Sequence[float]]:
    """Base models' sketches; vectors of one base model share the file.

    Raises:
        StorageError: one cannot be read now.
    """

    def read(missing: list[str]) -> dict[str, Sequence[float]]:
        sketches: dict[str, Sequence[float]] = {}
        for digest in missing:
            with services.store.open(Digest.parse(digest)) as blob:
                pieces = []
                while piece := blob.read(READ_BYTES):
                    pieces.append(piece)
            sketches[digest] = load_sketch(BytesIO(b"".join(pieces)), family)
        return sketches

    return services.sketches.get(digests, read)
