"""HTTP with a registry: retries, bounded answers, and no vendor exception outside.

Every request of the protocol may be sent twice: reads change nothing, uploads go by
digest, and publishing the same manifest again is a success. So each is repeated, after
a pause with jitter, while a retry can help: no connection, a broken one, 429 or 503.

A registry may hand out addresses of its object store, and redirect there. Nobody but
the registry itself ever sees its token.
"""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from safegene import __version__
from safegene.errors import RegistryError, TransportError
from safegene_client.problems import (
    AddressRefusedError,
    error_from_response,
    error_from_store,
)

ATTEMPTS = 4
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
"""A registry that asks for a longer pause is reported instead of waited for."""

CONNECT_SECONDS = 10.0
MOST_REDIRECTS = 5
MAX_ANSWER_BYTES = 16 << 20
"""As large as a manifest may be; every other answer is smaller."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
SAME_METHOD = frozenset({307, 308})
OWN_CONDITIONS = frozenset({"if-range", "if-none-match"})
"""Headers that name an entity as the registry does; a store calls it something else."""

Answered = TypeVar("Answered")
AnswerModel = TypeVar("AnswerModel", bound=BaseModel)


@dataclass(frozen=True)
class Body:
    """What a request sends: bytes that can be read anew for every attempt."""

    content_type: str
    size: int
    chunks: Callable[[], Iterator[bytes]]

    @classmethod
    def of(cls, data: bytes, content_type: str) -> "Body":
        """A body held in memory."""
        return cls(content_type, len(data), lambda: iter([data]))


@dataclass(frozen=True)
class Answer:
    """A whole answer of 2xx."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Retries:
    """Counts failures in a row and sleeps between them."""

    def __init__(self, attempts: int = ATTEMPTS) -> None:
        self._attempts = attempts
        self._failures = 0

    def reset(self) -> None:
        """Something went well: the next failure is the first again."""
        self._failures = 0

    def wait(self, error: TransportError) -> None:
        """Sleep before the next attempt.

        Raises:
            TransportError: `error` itself, when no further attempt is due.
        """
        self._failures += 1
        asked = error.retry_after or 0.0
        if self._failures >= self._attempts or asked > LONGEST_PAUSE_SECONDS:
            raise error
        ceiling = FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1)
        jitter = random.uniform(ceiling / 2, ceiling)  # noqa: S311 - not a secret
        time.sleep(max(asked, jitter))


class Session:
    """Connections to one registry; safe to share between threads.

    Args:
        url: base address, without a trailing slash.
        token: sent to this registry's origin only.
        timeout: seconds without a byte after which an answer counts as lost.
    """

    def __init__(self, url: str, *, token: str | None, timeout: float) -> None:
        self.url = url
        self._token = token
        self._limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_SECONDS))
        self._client = httpx.Client(
            # By hand, since each step decides anew what it may be told.
            follow_redirects=False,
            headers={"User-Agent": f"safegene/{__version__}"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        attempts: int = ATTEMPTS,
        timeout: float | None = None,
    ) -> Answer:
        """Send a request, repeated while that can help, and read its whole answer.

        Args:
            method: such as GET.
            path: below the base address, or an absolute address a registry gave out.
            params: query parameters.
            headers: further headers.
            body: what is sent.
            attempts: how often it is tried.
            timeout: seconds, where the session's own are too many.

        Raises:
            RegistryError: the answer is a refusal; the subclass says which.
            TransportError: no answer came, however often it was tried.
        """
        retries = Retries(attempts)
        while True:
            try:
                with self.stream(
                    method,
                    path,
                    params=params,
                    headers=headers,
                    body=body,
                    timeout=timeout,
                ) as response:
                    data = self.read(response, MAX_ANSWER_BYTES)
                    return Answer(response.status_code, response.headers, data)
            except AddressRefusedError as error:
                # Only who gave the address can give another one.
                if not path.startswith("/"):
                    raise
                retries.wait(error)
            except TransportError as error:
                retries.wait(error)

    def ask(
        self,
        kind: type[AnswerModel],
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> AnswerModel:
        """Send a request and read the JSON of its answer.

        Raises:
            RegistryError: as for `send`, or the answer is not what it should be.
        """
        answer = self.send(method, path, params=params, body=body)
        return self.parse(kind, answer, path)

    def parse(self, kind: type[AnswerModel], answer: Answer, path: str) -> AnswerModel:
        """Read the JSON of an answer.

        Raises:
            RegistryError: it is not what it should be.
        """
        try:
            return kind.model_validate_json(answer.body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "".join(f"/{part}" for part in first["loc"])
            message = (
                f"{self.url}{path} answered something that is no {kind.__name__}"
                f" ({place or 'the document'}: {first['msg']}); is this a SafeGene"
                " registry, of this version?"
            )
            raise RegistryError(message, status=answer.status) from None

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        timeout: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request once, wherever it leads; the caller reads the answer's body.

        Raises:
            RegistryError: the answer is a refusal, or the connection broke meanwhile.
        """
        address = self._address(path)
        for _ in range(MOST_REDIRECTS + 1):
            with self._sent(
                method,
                address,
                params=params,
                headers=headers or {},
                body=body,
                timeout=timeout,
            ) as response:
                target = self._redirect(response, method)
                if target is None:
                    self._check(response, address)
                    yield response
                    return
            address, params = target, None
        message = f"the registry at {self.url} redirects {path} without end"
        raise RegistryError(message)

    @contextmanager
    def _sent(
        self,
        method: str,
        address: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str],
        body: Body | None,
        timeout: float | None,
    ) -> Iterator[httpx.Response]:
        sent = self._headers(address, headers)
        content = None
        if body is not None:
            content = body.chunks()
            sent |= {
                "Content-Type": body.content_type,
                "Content-Length": str(body.size),
            }
        limits = self._limits if timeout is None else httpx.Timeout(timeout)
        with (
            self._translated(address),
            self._client.stream(
                method,
                address,
                params=params,
                headers=sent,
                content=content,
                timeout=limits,
            ) as response,
        ):
            yield response

    def _redirect(self, response: httpx.Response, method: str) -> str | None:
        """Where an answer sends us, if it does and we may go there."""
        location = response.headers.get("location")
        status = response.status_code
        if location is None or status not in REDIRECTS:
            return None
        if method not in ("GET", "HEAD") and status not in SAME_METHOD:
            return None
        self.read(response, MAX_ANSWER_BYTES)  # or the connection could not be reused
        return self._joined(str(response.url), location)

    def _check(self, response: httpx.Response, address: str) -> None:
        status = response.status_code
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        data = self.read(response, MAX_ANSWER_BYTES)
        if self._is_own(address):
            raise error_from_response(status, response.headers, data, url=self.url)
        raise error_from_store(
            status, response.headers, data, host=_host(address), url=self.url
        )

    def read(self, response: httpx.Response, limit: int) -> bytes:
        """The body of an answer.

        Raises:
            RegistryError: it is longer than `limit`.
        """
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > limit:
                message = (
                    f"the registry at {self.url} sent more than {limit} bytes where a"
                    " short answer was due"
                )
                raise RegistryError(message, status=response.status_code)
        return bytes(data)

    def _address(self, path: str) -> str:
        # Addresses in answers are relative to the server's root, which may itself be
        # a path behind a proxy; absolute ones lead to object storage.
        if path.startswith("/"):
            return f"{self.url}{path}"
        return self._joined(f"{self.url}/", path)

    def _joined(self, base: str, given: str) -> str:
        """An absolute address, from one that is relative to another."""
        try:
            address = urljoin(base, given)
            known = urlsplit(address).scheme in ("http", "https")
        except ValueError:
            known = False
        if not known:
            message = f"the registry at {self.url} gave a senseless address: {given!r}"
            raise RegistryError(message)
        return address

    def _is_own(self, address: str) -> bool:
        return _origin(address) == _origin(self.url)

    def _headers(self, address: str, wanted: Mapping[str, str]) -> dict[str, str]:
        """What one address may be told."""
        if self._is_own(address):
            token = {"Authorization": f"Bearer {self._token}"} if self._token else {}
            return {**wanted, **token}
        return {
            name: value
            for name, value in wanted.items()
            if name.lower() not in OWN_CONDITIONS
        }

    @contextmanager
    def _translated(self, address: str) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            why = str(error) or type(error).__name__
            if self._is_own(address):
                message = (
                    f"cannot reach the registry at {self.url}: {why}; check"
                    " SAFEGENE_URL and the network, or start a registry with"
                    " `safegene-registry serve`"
                )
            else:
                message = (
                    f"cannot reach the object store at {_host(address)}, where the"
                    f" registry at {self.url} keeps its files: {why}; check the"
                    " network, or tell the registry's operator"
                )
            raise TransportError(message) from error


def json_body(value: Any) -> Body:
    """A JSON request."""
    data = json.dumps(value, ensure_ascii=False).encode()
    return Body.of(data, "application/json")


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def _host(address: str) -> str:
    """Scheme, host and port: the rest of a presigned address is a secret."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}" + (
        f":{parts.port}" if parts.port else ""
    )
