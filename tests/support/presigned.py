"""Sending to presigned addresses, as clients do, and a blob that takes three parts."""

import os
from uuid import UUID

import httpx
from safegene_registry.s3.direct import S3DirectTransfer
from safegene_registry.storage import Address, Multipart, Part
from support.s3_stores import MIB

from safegene.artifact.digest import digest_bytes

PART = 5 * MIB
"""The least that S3 servers take."""

LARGE = os.urandom(2 * PART + 1000)
LARGE_DIGEST = digest_bytes(LARGE)


def put(address: Address, data: bytes, **headers: str) -> int:
    """Send bytes to an address; the status."""
    sent = httpx.put(address.url, content=data, headers={**address.headers, **headers})
    return sent.status_code


def elsewhere(url: str, key: str, other: str) -> str:
    """The same address, for another key."""
    assert key in url
    return url.replace(key, other)


def begin(direct: S3DirectTransfer, upload_id: UUID) -> Multipart:
    """Begin to send the large blob."""
    size = direct.part_bytes(len(LARGE))
    assert size is not None
    return direct.begin_parts(upload_id, LARGE_DIGEST, size)


def parts_of(
    direct: S3DirectTransfer, upload_id: UUID, multipart: Multipart
) -> list[Part]:
    """All parts of the large blob."""
    return direct.parts(upload_id, LARGE_DIGEST, len(LARGE), multipart)


def bytes_of(part: Part) -> bytes:
    """What a part holds."""
    return LARGE[part.offset : part.offset + part.size]


def address_of(
    direct: S3DirectTransfer,
    upload_id: UUID,
    multipart: Multipart,
    part: Part,
    data: bytes | None = None,
) -> Address:
    """Where to send these bytes as a part of the large blob; its own by default."""
    checksum = digest_bytes(bytes_of(part) if data is None else data)
    return direct.part_address(upload_id, LARGE_DIGEST, multipart, part, checksum)


def send_missing(
    direct: S3DirectTransfer, upload_id: UUID, multipart: Multipart
) -> list[int]:
    """Send what is missing, as a client does; the numbers of the parts."""
    missing = [p for p in parts_of(direct, upload_id, multipart) if not p.present]
    for part in missing:
        address = address_of(direct, upload_id, multipart, part)
        assert put(address, bytes_of(part)) == 200
    return [part.number for part in missing]
