"""What is said of versions, and whose word counts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response, status

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE
from safegene.artifact.reference import PART_PATTERN
from safegene_registry.access_schemas import ACCOUNT_PATTERN
from safegene_registry.attestations import (
    attestation_repository,
    evaluators,
    listing,
    posting,
)
from safegene_registry.attestations.attestation_repository import AttestationFilter
from safegene_registry.attestations.schemas import (
    AttestationEntry,
    AttestationPage,
    EvaluatorDetail,
    EvaluatorPage,
    EvaluatorRequest,
    KindName,
)
from safegene_registry.downloads import names_etag
from safegene_registry.guards import (
    Attester,
    Manager,
    NamespacePath,
    NamespaceReader,
)
from safegene_registry.problems import ProblemError
from safegene_registry.routes.paging import LINKED, PageDep
from safegene_registry.routes.responses import problems
from safegene_registry.routes.vectors import VectorDep, VersionParam
from safegene_registry.services import ServicesDep

router = APIRouter(prefix="/v1", tags=["attestations"])

PATH = "/vectors/{namespace}/{name}/versions/{version}/attestations"
EVALUATORS = "/namespaces/{namespace}/evaluators"

DigestPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]
EvaluatorPath = Annotated[str, Path(max_length=64, pattern=rf"^{PART_PATTERN}$")]


def attestation_filter(
    *,
    kind: KindName | None = None,
    evaluator: Annotated[
        str | None,
        Query(max_length=128, pattern=ACCOUNT_PATTERN, description="an account"),
    ] = None,
    trusted: Annotated[
        bool | None, Query(description="only those that count, or that do not")
    ] = None,
    signed: Annotated[
        bool | None, Query(description="only signed ones, or not")
    ] = None,
) -> AttestationFilter:
    """What a list is asked for."""
    return AttestationFilter(
        kind=kind,
        evaluator=evaluator,
        trusted=trusted,
        signed=signed,
    )


async def envelope_body(request: Request, _access: Attester) -> bytes:
    """The exact bytes of an envelope; read after the caller is known."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != ENVELOPE_MEDIA_TYPE:
        detail = f"An attestation is sent as {ENVELOPE_MEDIA_TYPE}, not as {given!r}."
        raise ProblemError(detail, "unsupported-media-type")
    return await request.body()


@router.get(PATH, responses={**LINKED, **problems("not-found", "version-purged")})
def list_attestations(
    services: ServicesDep,
    _access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
    wanted: Annotated[AttestationFilter, Depends(attestation_filter)],
    page: PageDep,
) -> AttestationPage:
    """What was said of a version, the last one first, and whose word counts."""
    found = listing.list_page(
        services, vector, version, wanted, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.post(
    PATH,
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": AttestationEntry, "description": "Already posted"},
        **problems(
            *("not-found", "version-purged", "attestation-limit"),
            *("unsupported-media-type", "attestation-invalid"),
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {ENVELOPE_MEDIA_TYPE: {"schema": {"type": "object"}}},
        }
    },
)
def post_attestation(
    *,
    response: Response,
    services: ServicesDep,
    access: Attester,
    vector: VectorDep,
    version: VersionParam,
    envelope: Annotated[bytes, Depends(envelope_body)],
) -> AttestationEntry:
    """Say something of a version, in a DSSE envelope, signed or not."""
    posted = posting.post(services, access, vector, version, envelope)
    if not posted.is_new:
        response.status_code = status.HTTP_200_OK
    return posted.entry


@router.get(
    PATH + "/{digest}",
    response_class=Response,
    responses={
        200: {
            "description": "The envelope's exact bytes",
            "content": {ENVELOPE_MEDIA_TYPE: {"schema": {"type": "object"}}},
        },
        304: {"description": "The caller has them already"},
        **problems("not-found", "version-purged"),
    },
)
def get_attestation(
    *,
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
    digest: DigestPath,
) -> Response:
    """One envelope, byte for byte as it was posted."""
    data = listing.find_envelope(services, vector, version, digest)
    etag = f'"{digest}"'
    who = "public" if access.is_public else "private"
    headers = {"ETag": etag, "Cache-Control": f"{who}, max-age=31536000, immutable"}
    if names_etag(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers, media_type=ENVELOPE_MEDIA_TYPE)


@router.get(EVALUATORS, responses=LINKED)
def list_evaluators(
    services: ServicesDep,
    _access: NamespaceReader,
    namespace: NamespacePath,
    page: PageDep,
) -> EvaluatorPage:
    """Whose attestations count in a namespace, by name."""
    with services.database.reading() as session:
        found = attestation_repository.list_evaluators(
            session, namespace, after=page.after, limit=page.probe
        )
        items = [
            evaluators.detail_of(row, account) for row, account in found[: page.limit]
        ]
    return EvaluatorPage(
        items=items, next_cursor=page.next(found, lambda row: row[0].name)
    )


@router.put(EVALUATORS + "/{evaluator}", responses=problems("not-found"))
def trust_evaluator(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    evaluator: EvaluatorPath,
    wanted: EvaluatorRequest,
) -> EvaluatorDetail:
    """Let the attestations of an account, or with a key's signature, count."""
    return evaluators.trust(services, access.caller, namespace, evaluator, wanted)


@router.delete(
    EVALUATORS + "/{evaluator}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("not-found"),
)
def distrust_evaluator(
    services: ServicesDep,
    access: Manager,
    namespace: NamespacePath,
    evaluator: EvaluatorPath,
) -> None:
    """Let them not count any more."""
    evaluators.distrust(services, access.caller, namespace, evaluator)
