"""Reading: search, resolve, manifest, files."""
# ruff: noqa: FAST003 - namespace and name are taken by the dependency `vector_name`

from io import BytesIO
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from safegene.artifact.digest import Digest
from safegene.artifact.reference import VectorName
from safegene_registry import catalog, searching
from safegene_registry.blob_downloads import (
    FILE_MEDIA_TYPE,
    file_answer,
    file_content,
)
from safegene_registry.catalog import Selector
from safegene_registry.conditional import tagged_list, tagged_response
from safegene_registry.downloads import Content, content_response
from safegene_registry.guards import Browser, NamespaceReader
from safegene_registry.problems import Fault, ProblemError
from safegene_registry.public_reads import (
    read_by,
    read_file,
    read_resolved,
    read_version,
)
from safegene_registry.routes.media import MANIFEST_MEDIA_TYPE
from safegene_registry.routes.paging import (
    DEFAULT_LIMIT,
    LINKED,
    TAGGED_LIST,
    PageDep,
    link_next,
)
from safegene_registry.routes.responses import TAGGED, UPSTREAM, content, problems
from safegene_registry.routes.searches import (
    DigestParam,
    read_search,
    search_filter,
)
from safegene_registry.schemas import (
    VectorDetail,
    VectorPage,
    VersionDetail,
    VersionPage,
)
from safegene_registry.search_repository import SearchFilter
from safegene_registry.services import Services, ServicesDep

router = APIRouter(prefix="/v1/vectors", tags=["vectors"])


async def vector_name(
    namespace: Annotated[str, Path(max_length=64)],
    name: Annotated[str, Path(max_length=64)],
) -> VectorName:
    """The vector that a path names."""
    return VectorName(namespace, name)


VectorDep = Annotated[VectorName, Depends(vector_name)]
VersionParam = Annotated[str, Path(max_length=128, description="in any spelling")]


@router.get("", response_model=VectorPage, responses=TAGGED_LIST)
@read_by(read_search)
def search_vectors(
    request: Request,
    services: ServicesDep,
    access: Browser,
    page: PageDep,
    wanted: Annotated[SearchFilter, Depends(search_filter)],
) -> Response:
    """Vectors by name; all filters must hold for the newest version.

    A page may be short, and even empty, with others behind it: as long as there is a
    `next_cursor`, there may be more.
    """
    found = searching.search(
        services, access.reader, wanted, limit=page.limit, cursor=page.cursor
    )
    answer = tagged_list(request, found, reader=access.reader)
    link_next(request, answer, found.next_cursor)
    return answer


@router.get(
    "/{namespace}/{name}",
    response_model=VectorDetail,
    responses={**TAGGED, **problems("not-found")},
)
def get_vector(
    request: Request, services: ServicesDep, access: NamespaceReader, vector: VectorDep
) -> Response:
    """A vector and the versions that were published last."""
    found = catalog.describe(services, vector, limit=DEFAULT_LIMIT)
    answer = tagged_response(request, found, is_public=access.is_public)
    link_next(request, answer, found.next_cursor, below="/versions")
    return answer


@router.get(
    "/{namespace}/{name}/versions", responses={**LINKED, **problems("not-found")}
)
def list_versions(
    services: ServicesDep, _access: NamespaceReader, vector: VectorDep, page: PageDep
) -> VersionPage:
    """All versions of a vector, those published last first."""
    found = catalog.list_versions(
        services, vector, limit=page.limit, cursor=page.cursor
    )
    page.link(found.next_cursor)
    return found


@router.get(
    "/{namespace}/{name}/resolve",
    response_model=VersionDetail,
    responses={**TAGGED, **problems("not-found", "version-purged"), **UPSTREAM},
)
@read_by(read_resolved)
def resolve_version(
    *,
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    constraint: Annotated[str | None, Query(max_length=256)] = None,
    alias: Annotated[str | None, Query(max_length=64)] = None,
    digest: DigestParam | None = None,
) -> Response:
    """The version that a range, an alias or a digest means; none means the newest."""
    selector = Selector(constraint=constraint, alias=alias, digest=digest)
    given = [key for key in ("constraint", "alias", "digest") if getattr(selector, key)]
    if len(given) > 1:
        detail = f"At most one of constraint, alias and digest; got {', '.join(given)}."
        faults = [Fault(f"/query/{key}", "excludes the others") for key in given]
        raise ProblemError(detail, "invalid-request", faults=faults)
    found = catalog.resolve(services, vector, selector)
    return tagged_response(request, found, is_public=access.is_public)


@router.get(
    "/{namespace}/{name}/versions/{version}",
    response_model=VersionDetail,
    responses={**TAGGED, **problems("not-found", "version-purged"), **UPSTREAM},
)
@read_by(read_version)
def get_version(
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
) -> Response:
    """One version and its files."""
    with services.database.reading() as session:
        row = catalog.find_version(session, vector, version)
        found = catalog.version_detail(session, vector, row)
    return tagged_response(request, found, is_public=access.is_public)


@router.get(
    "/{namespace}/{name}/versions/{version}/manifest",
    response_class=Response,
    responses=content(MANIFEST_MEDIA_TYPE, {"type": "object"}),
)
def get_manifest(
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
) -> Response:
    """The manifest, byte for byte as it was published."""
    with services.database.reading() as session:
        row = catalog.find_version(session, vector, version, with_manifest=True)
        data = row.manifest
    manifest = Content(
        digest=row.digest,
        size=len(data),
        media_type=MANIFEST_MEDIA_TYPE,
        open=lambda start: BytesIO(data[start:]),
    )
    return content_response(request, manifest, is_public=access.is_public)


@router.get(
    "/{namespace}/{name}/versions/{version}/files/{path}",
    response_class=Response,
    responses={
        **content(FILE_MEDIA_TYPE),
        307: {"description": "The bytes, or the range of them, are to be had there"},
    },
)
@read_by(read_file)
def get_file(
    *,
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
    path: Annotated[str, Path(max_length=255)],
) -> Response:
    """One file of a version, whole or one range of it."""
    found = find_content(services, vector, version, path)
    return file_answer(request, services, found, path, is_public=access.is_public)


@router.head(
    "/{namespace}/{name}/versions/{version}/files/{path}",
    response_class=Response,
    responses=content(FILE_MEDIA_TYPE),
)
def head_file(
    *,
    request: Request,
    services: ServicesDep,
    access: NamespaceReader,
    vector: VectorDep,
    version: VersionParam,
    path: Annotated[str, Path(max_length=255)],
) -> Response:
    """Size and digest of one file of a version."""
    found = find_content(services, vector, version, path)
    if services.store.direct is None:
        services.store.check(Digest.parse(found.digest), found.size)
    return content_response(request, found, is_public=access.is_public)


def find_content(
    services: Services, vector: VectorName, version: str, path: str
) -> Content:
    """A file of a version, as the database knows it."""
    with services.database.reading() as session:
        row = catalog.find_version(session, vector, version)
        file = catalog.find_file(session, row, path)
    return file_content(services, file.digest, file.blob.size_bytes)
