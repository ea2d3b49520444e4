"""The border to boto3: how a server is spoken to, and what its refusals mean.

The only file that knows boto3. Every failure that is not an answer becomes a
`StorageError`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from safegene import __version__
from safegene_registry.db import THREADS
from safegene_registry.log import get_logger
from safegene_registry.settings import Settings
from safegene_registry.storage import StorageError

log = get_logger("safegene_registry.s3.client")

CONNECT_SECONDS = 5

ONCE_SECONDS = 20
"""Longest silence of the server where a request is tried once: `removals` reckons with
it, so it is no setting."""

PATIENT_TIMES = 3
"""So many times as long as elsewhere the server may be silent while it copies half a
gigabyte or puts parts together."""

ATTEMPTS = 3
"""Tries of one request; boto3's pauses between them add up to about three seconds. With
all of them, a server that hangs holds a thread for a minute by default."""

RETRY_SECONDS = 5
"""What a client is told to wait when the server cannot be reached: less than a restart
takes, so that its few tries reach over one."""

CONFIG = Config(
    signature_version="s3v4",
    s3={"addressing_style": "path"},
    # The default, checksums in trailers, is refused by servers a few years old.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
    connect_timeout=CONNECT_SECONDS,
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    max_pool_connections=THREADS,
    tcp_keepalive=True,
    user_agent_extra=f"safegene/{__version__}",
)

ONCE = CONFIG.merge(
    Config(
        read_timeout=ONCE_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=4,
    )
)
"""For requests of which nothing may be left once we have given up."""


def tried(settings: Settings, *, times: int = 1) -> Config:
    """For requests that are tried again when the server is silent for too long.

    Args:
        settings: how long that is.
        times: so many times as long.
    """
    seconds = settings.s3_timeout.total_seconds() * times
    return CONFIG.merge(Config(read_timeout=seconds))


class ObjectMissingError(Exception):
    """There is no such object, or no such multipart upload."""


class ConditionFailedError(Exception):
    """A conditional write found something there, or another write under way."""

    def __init__(self, *, passing: bool) -> None:
        super().__init__()
        self.passing = passing


class ConditionUnknownError(StorageError):
    """The server does not know conditional writes, or not these."""


@cache
def vendor_session() -> boto3.session.Session:
    """Holds what boto3 reads from its own files, which takes it a while."""
    return boto3.session.Session()


def make_client(settings: Settings, endpoint_url: str | None, config: Config) -> Any:
    """A client of the configured server, at this address of it."""
    secret = settings.s3_secret_access_key
    return vendor_session().client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key_id,
        aws_secret_access_key=None if secret is None else secret.get_secret_value(),
        config=config,
    )


@contextmanager
def translated_errors(doing: str) -> Iterator[None]:
    """Turn what boto3 raises into what the registry knows.

    Args:
        doing: what is being done, for people.

    Raises:
        ObjectMissingError: there is no such thing.
        ConditionFailedError: a condition did not hold.
        StorageError: everything else.
    """
    try:
        yield
    except ParamValidationError:
        raise  # a bug of ours
    except ClientError as error:
        code = error.response["Error"].get("Code", "")
        status = error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        raise meaning(code, status, doing) from error
    except BotoCoreError as error:
        log.warning("object_store_unreachable", doing=doing, error=str(error))
        detail = f"The object store cannot be reached to {doing}."
        raise StorageError(detail, retry_seconds=RETRY_SECONDS) from error


def meaning(code: str, status: int, doing: str) -> Exception:
    """What a refusal means."""
    match status, code:
        case _, "NoSuchBucket":
            pass
        case 404, _:
            return ObjectMissingError(code)
        case 412, _:
            return ConditionFailedError(passing=False)
        case 409, "ConditionalRequestConflict" | "OperationAborted":
            return ConditionFailedError(passing=True)
        case 501, _:
            return ConditionUnknownError(f"The object store cannot {doing}: {code}.")
    log.warning("object_store_refused", doing=doing, code=code, status=status)
    detail = f"The object store refuses to {doing}: {code or status}."
    return StorageError(detail, retry_seconds=RETRY_SECONDS)
