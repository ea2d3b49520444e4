"""Publishing: announce, send, complete."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated
from uuid import UUID

import anyio
from fastapi import APIRouter, Depends, Path, Request, Response, status
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse

from safegene.artifact.digest import Digest
from safegene_registry import completion, uploads
from safegene_registry.guards import Announcer, Uploader
from safegene_registry.problems import ProblemError, problem_body
from safegene_registry.routes.media import MANIFEST_MEDIA_TYPE
from safegene_registry.routes.responses import BINARY_SCHEMA, problems
from safegene_registry.schemas import (
    PartsAnswer,
    PartsRequest,
    Problem,
    UploadDetail,
    VersionDetail,
)
from safegene_registry.services import ServicesDep
from safegene_registry.storage import BlobWriter

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])

LOOK_SECONDS = "1"
"""What whoever completes a large version is told to wait before looking."""

WRITE_BYTES = 1 << 20
"""Received bytes are handed to the disk in pieces of about this size."""

NO_STORE = {"Cache-Control": "no-store"}
"""On answers with addresses that whoever holds them may use."""

DigestPath = Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$")]


async def manifest_body(request: Request, _access: Announcer) -> bytes:
    """The exact bytes of a manifest; read after the caller is known."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != MANIFEST_MEDIA_TYPE:
        detail = f"A manifest is sent as {MANIFEST_MEDIA_TYPE}, not as {given!r}."
        raise ProblemError(detail, "unsupported-media-type")
    return await request.body()


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={
        200: {"model": UploadDetail, "description": "Already published"},
        **problems(
            *("not-found", "version-exists", "version-purged", "quota-exceeded"),
            *("unsupported-media-type", "manifest-invalid"),
        ),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {MANIFEST_MEDIA_TYPE: {"schema": {"type": "object"}}},
        }
    },
)
def open_upload(
    response: Response,
    services: ServicesDep,
    access: Announcer,
    manifest: Annotated[bytes, Depends(manifest_body)],
) -> UploadDetail:
    """Announce a version by its manifest; the answer says what to send."""
    response.headers.update(NO_STORE)
    upload = uploads.open_upload(services, access.caller, manifest)
    if upload.state == uploads.PUBLISHED:
        response.status_code = status.HTTP_200_OK
    return upload


@router.get("/{upload_id}")
def get_upload(
    request: Request,
    response: Response,
    services: ServicesDep,
    access: Uploader,
    upload_id: UUID,
) -> UploadDetail:
    """What has been received, what is missing, or how a completion goes on."""
    response.headers.update(NO_STORE)
    upload = uploads.find_upload(services, access.caller, upload_id)
    detail = uploads.upload_detail(services, access.caller, upload)
    failure = uploads.find_failure(services, upload_id)
    if detail.state != uploads.OPEN or failure is None:
        return detail
    problem = Problem.model_validate(problem_body(request, failure))
    return detail.model_copy(update={"problem": problem})


@router.delete("/{upload_id}", status_code=status.HTTP_204_NO_CONTENT)
def cancel_upload(services: ServicesDep, access: Uploader, upload_id: UUID) -> None:
    """End an upload; a version it has already published stays."""
    uploads.cancel_upload(services, access.caller, upload_id)


@router.put(
    "/{upload_id}/blobs/{digest}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems("digest-mismatch", "request-timeout"),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": BINARY_SCHEMA}},
        }
    },
)
async def put_blob(
    request: Request,
    services: ServicesDep,
    access: Uploader,
    upload_id: UUID,
    digest: DigestPath,
) -> None:
    """Send one blob; sending it again is harmless.

    The one asynchronous handler: a slow sender must not hold a thread. Whatever touches
    disk or database still runs in one.
    """
    expected = Digest.parse(digest)
    begun = await run_in_threadpool(
        uploads.begin_blob, services, access.caller, upload_id, expected
    )
    if begun is None:
        return
    writer, size = begun
    try:
        chunks = received_chunks(request, services.settings.receive_timeout)
        await write_chunks(writer, chunks, size)
        await run_in_threadpool(
            uploads.finish_blob, services, access.caller, upload_id, writer
        )
    finally:
        # Not in a thread: it must run although the server is being stopped.
        writer.abort()


@router.post("/{upload_id}/blobs/{digest}/parts")
def address_parts(
    *,
    response: Response,
    services: ServicesDep,
    access: Uploader,
    upload_id: UUID,
    digest: DigestPath,
    wanted: PartsRequest,
) -> PartsAnswer:
    """Where to send parts of a large blob; each address takes only the bytes named."""
    response.headers.update(NO_STORE)
    found = uploads.part_targets(
        services, access.caller, upload_id, Digest.parse(digest), wanted.parts
    )
    return PartsAnswer(parts=found)


async def received_chunks(
    request: Request,
    timeout: timedelta,  # noqa: ASYNC109 - of each chunk, not of all
) -> AsyncIterator[bytes]:
    """The body as it comes; a sender that falls silent or leaves ends it."""
    stream = request.stream()
    while True:
        try:
            with anyio.fail_after(timeout.total_seconds()):
                chunk = await anext(stream, b"")
        except TimeoutError as error:
            detail = f"Nothing came for {timeout.total_seconds():.0f} seconds."
            raise ProblemError(detail, "request-timeout") from error
        except ClientDisconnect as error:
            detail = "The connection ended before the blob was complete."
            raise ProblemError(detail, "request-timeout") from error
        if not chunk:
            return
        yield chunk


async def write_chunks(
    writer: BlobWriter, chunks: AsyncIterator[bytes], size: int
) -> None:
    """Hand the body to the writer in larger pieces, as long as it keeps its promise."""
    pending = bytearray()
    received = 0
    async for chunk in chunks:
        received += len(chunk)
        if received > size:
            detail = f"The manifest promised {size} bytes; more are being sent."
            raise ProblemError(detail, "payload-too-large")
        pending += chunk
        if len(pending) >= WRITE_BYTES:
            await run_in_threadpool(writer.write, bytes(pending))
            pending.clear()
    if pending:
        await run_in_threadpool(writer.write, bytes(pending))


@router.post(
    "/{upload_id}/complete",
    status_code=status.HTTP_201_CREATED,
    response_model=VersionDetail,
    responses={
        200: {"model": VersionDetail, "description": "Already published"},
        202: {
            "model": UploadDetail,
            "description": "Being verified; look at the upload until that has ended",
        },
        **problems(
            *("blob-missing", "version-exists", "version-purged", "quota-exceeded"),
            *("manifest-invalid", "digest-mismatch"),
        ),
    },
)
def complete_upload(
    response: Response,
    services: ServicesDep,
    access: Uploader,
    upload_id: UUID,
) -> VersionDetail | JSONResponse:
    """Verify everything and publish the version; a large one after the answer."""
    ended = completion.complete(services, access.caller, upload_id)
    if ended is None:
        upload = uploads.find_upload(services, access.caller, upload_id)
        return JSONResponse(
            uploads.upload_detail(services, access.caller, upload).model_dump(
                mode="json"
            ),
            status_code=status.HTTP_202_ACCEPTED,
            headers={
                **NO_STORE,
                "Location": f"/v1/uploads/{upload_id}",
                "Retry-After": LOOK_SECONDS,
            },
        )
    version, created = ended
    if not created:
        response.status_code = status.HTTP_200_OK
    return version
