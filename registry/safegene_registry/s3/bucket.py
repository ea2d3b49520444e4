"""One bucket of an S3 server: what can be asked of it, typed.

Keys and their meaning are `store`'s business. Errors are those of `client`.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from safegene_registry.s3.client import (
    ONCE,
    PATIENT_TIMES,
    RETRY_SECONDS,
    ConditionFailedError,
    ObjectMissingError,
    make_client,
    translated_errors,
    tried,
)
from safegene_registry.settings import Settings
from safegene_registry.storage import StorageError

CONFLICT_ATTEMPTS = 8
"""Tries of a conditional write that another one is just getting in the way of."""

DELETE_BATCH = 1000


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """What a server says of an object."""

    key: str
    size: int
    modified: datetime
    etag: str
    metadata: Mapping[str, str]
    """Ours; empty in listings."""


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part that a multipart upload has received."""

    number: int
    size: int
    modified: datetime
    etag: str


@dataclass(frozen=True, slots=True)
class MultipartInfo:
    """A multipart upload that has not ended."""

    key: str
    id: str
    initiated: datetime


class S3Bucket:
    """One bucket. Safe to share between threads.

    Args:
        settings: which bucket, where, and as whom.
    """

    def __init__(self, settings: Settings) -> None:
        self.name = settings.s3_bucket
        self.lifetime = int(settings.s3_presign_lifetime.total_seconds())
        config, patient = tried(settings), tried(settings, times=PATIENT_TIMES)
        self.client = make_client(settings, settings.s3_endpoint_url, config)
        self.patient = make_client(settings, settings.s3_endpoint_url, patient)
        # For requests that may not arrive late, as those tried again do.
        self.once = make_client(settings, settings.s3_endpoint_url, ONCE)
        public = settings.s3_public_endpoint_url
        # Signs for the address that others know the server by; it connects to nothing.
        self.signer = self.client
        if public is not None:
            self.signer = make_client(settings, public, config)

    def ping(self) -> None:
        """Ask whether the bucket is there and open to us.

        Raises:
            StorageError: it is not.
        """
        try:
            with translated_errors("open the bucket"):
                self.client.head_bucket(Bucket=self.name)
        except ObjectMissingError:
            detail = "The object store has no bucket of the configured name."
            raise StorageError(detail) from None

    # Objects

    def head(self, key: str) -> ObjectInfo | None:
        """What there is under a key, None when nothing is."""
        try:
            with translated_errors("look at an object"):
                answer = self.client.head_object(Bucket=self.name, Key=key)
        except ObjectMissingError:
            return None
        return ObjectInfo(
            key,
            answer["ContentLength"],
            answer["LastModified"],
            answer["ETag"],
            answer.get("Metadata", {}),
        )

    def get(self, key: str, start: int) -> tuple[Any, str]:
        """The body of an object from byte `start` on, and the object's ETag.

        Raises:
            ObjectMissingError: there is none.
        """
        more = {"Range": f"bytes={start}-"} if start else {}
        with translated_errors("read an object"):
            answer = self.client.get_object(Bucket=self.name, Key=key, **more)
        return answer["Body"], answer["ETag"]

    def put(self, key: str, data: bytes) -> None:
        """Write an object."""
        with translated_errors("write an object"):
            self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects; those that are not there are no error."""
        left = list(keys)
        while left:
            batch, left = left[:DELETE_BATCH], left[DELETE_BATCH:]
            named = {"Objects": [{"Key": key} for key in batch], "Quiet": True}
            with translated_errors("remove objects"):
                answer = self.client.delete_objects(Bucket=self.name, Delete=named)
            for error in answer.get("Errors", ()):
                detail = f"The object store did not remove an object: {error['Code']}."
                raise StorageError(detail)

    def delete_once(self, key: str) -> None:
        """Remove an object, in one try that does not last long."""
        with translated_errors("remove an object"):
            self.once.delete_object(Bucket=self.name, Key=key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose keys begin so."""
        for page in self.pages("list_objects_v2", Prefix=prefix):
            for found in page.get("Contents", ()):
                yield ObjectInfo(
                    found["Key"],
                    found["Size"],
                    found["LastModified"],
                    found["ETag"],
                    {},
                )

    def folders(self, prefix: str) -> Iterator[str]:
        """What comes between the prefix and the next slash, each once."""
        for page in self.pages("list_objects_v2", Prefix=prefix, Delimiter="/"):
            for found in page.get("CommonPrefixes", ()):
                yield found["Prefix"].removeprefix(prefix).rstrip("/")

    def pages(self, operation: str, **more: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing."""
        paginator = self.client.get_paginator(operation)
        pages = iter(paginator.paginate(Bucket=self.name, **more))
        while True:
            with translated_errors("list objects"):
                page = next(pages, None)
            if page is None:
                return
            yield page

    def copy(
        self, source: str, target: str, metadata: Mapping[str, str], *, only_new: bool
    ) -> bool:
        """Copy an object within the bucket, of at most 5 GiB.

        Args:
            source: its key.
            target: the new key.
            metadata: of the copy.
            only_new: leave what is already there, where the server can do that.

        Returns:
            False when something was there and has been left.

        Raises:
            ObjectMissingError: there is no source.
        """
        return conditionally(
            "copy an object",
            lambda condition: self.patient.copy_object(
                Bucket=self.name,
                Key=target,
                CopySource={"Bucket": self.name, "Key": source},
                MetadataDirective="REPLACE",
                Metadata=dict(metadata),
                **condition,
            ),
            only_new=only_new,
        )

    # Multipart uploads

    def begin(self, key: str, metadata: Mapping[str, str]) -> str:
        """Begin a multipart upload; its id."""
        with translated_errors("begin a multipart upload"):
            answer = self.client.create_multipart_upload(
                Bucket=self.name, Key=key, Metadata=dict(metadata)
            )
        return str(answer["UploadId"])

    def put_part(self, key: str, multipart_id: str, number: int, data: bytes) -> None:
        """Send one part; sending it again replaces it."""
        with translated_errors("write a part"):
            self.client.upload_part(
                Bucket=self.name,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                Body=data,
            )

    def copy_part(
        self, source: str, key: str, multipart_id: str, number: int, span: range
    ) -> None:
        """Fill one part with a range of another object.

        Raises:
            ObjectMissingError: there is no source.
        """
        with translated_errors("copy a part"):
            self.patient.upload_part_copy(
                Bucket=self.name,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                CopySource={"Bucket": self.name, "Key": source},
                CopySourceRange=f"bytes={span.start}-{span.stop - 1}",
            )

    def parts(self, key: str, multipart_id: str) -> Sequence[PartInfo]:
        """The parts that are there, by number and age.

        There may be several of a number: one server lists those that a later one of the
        same number has replaced, too.

        Raises:
            ObjectMissingError: there is no such multipart upload, or no longer.
        """
        pages = self.pages("list_parts", Key=key, UploadId=multipart_id)
        found = [
            PartInfo(
                part["PartNumber"], part["Size"], part["LastModified"], part["ETag"]
            )
            for page in pages
            for part in page.get("Parts", ())
        ]
        return sorted(found, key=lambda part: (part.number, part.modified))

    def complete(
        self, key: str, multipart_id: str, parts: Iterable[PartInfo], *, only_new: bool
    ) -> bool:
        """Make an object of the parts.

        Returns:
            False when something was under the key and has been left (`only_new`).

        Raises:
            ObjectMissingError: there is no such multipart upload, or no longer.
        """
        chosen = {part.number: part for part in parts}.values()
        named = [{"PartNumber": part.number, "ETag": part.etag} for part in chosen]
        try:
            return conditionally(
                "complete a multipart upload",
                lambda condition: self.patient.complete_multipart_upload(
                    Bucket=self.name,
                    Key=key,
                    UploadId=multipart_id,
                    MultipartUpload={"Parts": named},
                    **condition,
                ),
                only_new=only_new,
            )
        except ObjectMissingError:
            # Done, perhaps, by a request whose answer was lost, or by somebody else.
            found = self.head(key)
            if found is None or found.size != sum(part.size for part in chosen):
                raise
            return True

    def abort(self, key: str, multipart_id: str) -> None:
        """End a multipart upload and drop its parts; one that has ended is no error."""
        try:
            with translated_errors("abort a multipart upload"):
                self.client.abort_multipart_upload(
                    Bucket=self.name, Key=key, UploadId=multipart_id
                )
        except ObjectMissingError:
            pass

    def multiparts(self, prefix: str) -> Iterator[MultipartInfo]:
        """Multipart uploads under way, of keys that begin so."""
        for page in self.pages("list_multipart_uploads", Prefix=prefix):
            for found in page.get("Uploads", ()):
                yield MultipartInfo(found["Key"], found["UploadId"], found["Initiated"])

    # Addresses that others may use for a while

    def presigned(self, operation: str, **parameters: Any) -> str:
        """An address that lets its holder do one thing, until it expires.

        Args:
            operation: such as `get_object`.
            parameters: of the operation; those that are headers are signed with it.
        """
        return str(
            self.signer.generate_presigned_url(
                operation,
                Params={"Bucket": self.name, **parameters},
                ExpiresIn=self.lifetime,
            )
        )


def conditionally(
    doing: str, write: Callable[[dict[str, str]], object], *, only_new: bool
) -> bool:
    """Write where nothing is yet, if so asked.

    Args:
        doing: what the write does, for people.
        write: sends the request, with these further parameters.
        only_new: whether something that is there is to be left.

    Returns:
        Whether it has been written.

    Raises:
        ObjectMissingError: there is no source.
        ConditionUnknownError: the server cannot do that.
    """
    condition = {"IfNoneMatch": "*"} if only_new else {}
    for attempt in range(CONFLICT_ATTEMPTS):
        try:
            with translated_errors(doing):
                write(condition)
        except ConditionFailedError as error:
            if not error.passing:
                return False
            # Two conditional writes at once: AWS answers 409 to one of them.
            time.sleep(random.uniform(0.05, 0.1) * (attempt + 1))  # noqa: S311
        else:
            return True
    detail = f"Others keep the object store from letting us {doing}."
    raise StorageError(detail, retry_seconds=RETRY_SECONDS)
