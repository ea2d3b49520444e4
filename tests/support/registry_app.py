"""The registry's application in this process, on a database and a directory of its own.

Everything is real but the network: requests go through the whole ASGI stack.
"""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any

import httpx
from fastapi import FastAPI
from safegene_registry.access import Scope
from safegene_registry.app import create_app
from safegene_registry.server import prepare_data
from safegene_registry.services import Services, utc_now
from safegene_registry.settings import Settings
from safegene_registry.tokens import WantedToken, create_token, user_account
from sqlalchemy.orm import Session
from starlette.testclient import TestClient
from support.stores import keys_of

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import Manifest

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"


TICK = timedelta(milliseconds=20)
"""More than there is between two ticks of the clock that dates files."""


class Clock:
    """The time, which tests can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


class AppClient(TestClient):
    """Calls the application; what lies elsewhere, such as an object store, for real."""

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """Send a request and follow where the application sends it."""
        headers = options.get("headers") or {}
        if not str(url).startswith("/"):
            content = options.get("content")
            return httpx.request(
                method, url, content=content, headers=headers, trust_env=False
            )
        follow = options.pop("follow_redirects", None) is not False
        answer = super().request(method, url, **options, follow_redirects=False)
        if not (follow and answer.has_redirect_location):
            return answer
        passed = {name: headers[name] for name in ("Range",) if name in headers}
        return self.request(method, answer.headers["location"], headers=passed)


@dataclass
class AppRegistry:
    """A registry in this process."""

    app: FastAPI
    client: AppClient
    token: str
    """May publish."""
    data: Path

    @property
    def services(self) -> Services:
        """The application's parts."""
        services: Services = self.app.state.services
        return services

    def put_clock(self, clock: Clock) -> Clock:
        """Have the registry look at another clock from now on."""
        self.app.state.services = dataclasses.replace(self.services, now=clock)
        return clock

    @property
    def auth(self) -> dict[str, str]:
        """Headers of a caller who may publish."""
        return bearer(self.token)

    def token_of(
        self, account: str, scope: Scope = Scope.PUBLISH, **wanted: Any
    ) -> str:
        """A new token of an account; see `new_token`."""
        with self.services.database.writing() as session:
            return new_token(session, account, scope, **wanted)

    def open_upload(self, manifest: bytes) -> Any:
        """POST a manifest; the response."""
        return self.client.post(
            "/v1/uploads",
            content=manifest,
            headers={**self.auth, "Content-Type": MANIFEST_MEDIA_TYPE},
        )

    def put_blob(self, upload: dict[str, Any], digest: str, data: bytes) -> Any:
        """PUT one blob of an upload; the response."""
        url = f"/v1/uploads/{upload['id']}/blobs/{digest}"
        return self.client.put(url, content=data, headers=self.auth)

    def complete(self, upload: dict[str, Any]) -> Any:
        """Complete an upload; the response."""
        url = f"/v1/uploads/{upload['id']}/complete"
        return self.client.post(url, headers=self.auth)

    def send(self, manifest: Manifest, directory: Path) -> dict[str, Any]:
        """Open an upload and send every blob that is missing; the upload."""
        opened = self.open_upload(manifest.to_bytes())
        assert opened.status_code in (200, 201), opened.text
        upload: dict[str, Any] = opened.json()
        names = {entry.digest: entry.path for entry in manifest.files}
        for blob in upload["blobs"]:
            if blob["state"] == "missing":
                data = (directory / names[blob["digest"]]).read_bytes()
                self.send_blob(upload, blob, data)
        return upload

    def send_blob(
        self, upload: dict[str, Any], blob: dict[str, Any], data: bytes
    ) -> None:
        """Send a blob as the registry says: to itself, or straight to the store."""
        for part in blob["parts"]:
            if part["state"] == "missing":
                sent = self.send_part(upload, blob, part, data)
                assert sent.status_code == 200, sent.text
        if blob["url"] is not None:
            own = self.auth if blob["url"].startswith("/") else {}
            headers = {**own, **blob["headers"]}
            sent = self.client.put(blob["url"], content=data, headers=headers)
            assert sent.status_code in (200, 204), sent.text

    def send_part(
        self,
        upload: dict[str, Any],
        blob: dict[str, Any],
        part: dict[str, Any],
        data: bytes,
    ) -> Any:
        """Send one part of a blob whose bytes are `data`; the store's response."""
        mine = data[part["offset"] : part["offset"] + part["size_bytes"]]
        answer = self.address_parts(upload, blob, parts_request(part, mine))
        assert answer.status_code == 200, answer.text
        (target,) = answer.json()["parts"]
        return self.client.put(target["url"], content=mine, headers=target["headers"])

    def address_parts(
        self, upload: dict[str, Any], blob: dict[str, Any], wanted: Any
    ) -> Any:
        """Ask where parts of a blob are to be sent; the response."""
        return self.client.post(parts_url(upload, blob), json=wanted, headers=self.auth)

    def publish(self, manifest: Manifest, directory: Path) -> Any:
        """The whole way; the response of the last step."""
        return self.complete(self.send(manifest, directory))

    def staged_files(self) -> list[PurePosixPath]:
        """Every file in the staging area, finished or not."""
        return keys_of(self.services.store, "staging/")

    def final_blobs(self) -> list[PurePosixPath]:
        """Every file in the final place, links on their way included."""
        return keys_of(self.services.store, "blobs/")

    def make_old(self) -> None:
        """Let the grace of every final blob be over, and not of any that comes later.

        From now on the registry's clock stands still, and there is no grace.
        """
        # In whole seconds, as S3 servers tell times; and a little of the next one: the
        # clock that dates files is behind the other by up to a tick.
        now = utc_now().replace(microsecond=0) + timedelta(seconds=1)
        if self.services.store.direct is None:
            now = utc_now() + TICK
        while utc_now() < now + TICK:
            time.sleep(0.005)
        settings = self.services.settings.model_copy(
            update={"blob_grace": timedelta(0)}
        )
        self.app.state.services = dataclasses.replace(
            self.services, now=lambda: now, settings=settings
        )


def parts_url(upload: dict[str, Any], blob: dict[str, Any]) -> str:
    """Where to ask for the addresses of a blob's parts."""
    return f"/v1/uploads/{upload['id']}/blobs/{blob['digest']}/parts"


def parts_request(part: dict[str, Any], data: bytes) -> dict[str, Any]:
    """Asks where to send these bytes as one part of a blob."""
    named = {"number": part["number"], "digest": str(digest_bytes(data))}
    return {"parts": [named]}


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {token}"}


def new_token(
    session: Session,
    account: str,
    scope: Scope = Scope.PUBLISH,
    *,
    namespace: str | None = None,
    lifetime: timedelta | None = None,
    operator: bool = False,
) -> str:
    """Make a token, and its account if there is none; the secret."""
    owner = user_account(session, account, operator=operator, by="tests")
    wanted = WantedToken(account, scope, namespace, lifetime)
    secret, _ = create_token(session, owner, wanted, now=utc_now(), by="tests")
    return secret


@contextmanager
def app_registry(data: Path, **settings: Any) -> Iterator[AppRegistry]:
    """Start the application on an empty data directory.

    Args:
        data: the directory.
        settings: fields of `Settings`.
    """
    chosen = Settings(data=data, **settings)
    database = prepare_data(chosen)
    with database.writing() as session:
        token = new_token(session, "tests")
    database.dispose()
    app = create_app(chosen)
    with AppClient(app) as client:
        yield AppRegistry(app, client, token, data)
