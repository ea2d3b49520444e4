"""The registry's application in this process, on a database and a directory of its own.

Everything is real but the network: requests go through the whole ASGI stack.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from safegene_registry.access import Scope
from safegene_registry.app import create_app
from safegene_registry.server import prepare_data
from safegene_registry.services import Services, utc_now
from safegene_registry.settings import Settings
from safegene_registry.tokens import WantedToken, create_token, user_account
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from safegene.artifact.manifest import Manifest

MANIFEST_MEDIA_TYPE = "application/vnd.safegene.manifest+json"


class Clock:
    """The time, which tests can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta(0)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead


@dataclass
class AppRegistry:
    """A registry in this process."""

    app: FastAPI
    client: TestClient
    token: str
    """May publish."""
    data: Path

    @property
    def services(self) -> Services:
        """The application's parts."""
        services: Services = self.app.state.services
        return services

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
                sent = self.put_blob(upload, blob["digest"], data)
                assert sent.status_code == 204, sent.text
        return upload

    def publish(self, manifest: Manifest, directory: Path) -> Any:
        """The whole way; the response of the last step."""
        return self.complete(self.send(manifest, directory))

    def staged_files(self) -> list[Path]:
        """Every file in the staging area, finished or not."""
        return [path for path in (self.data / "staging").rglob("*") if path.is_file()]

    def final_blobs(self) -> list[Path]:
        """Every file in the final place, links on their way included."""
        return [path for path in (self.data / "blobs").rglob("*") if path.is_file()]


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
    with TestClient(app) as client:
        yield AppRegistry(app, client, token, data)
