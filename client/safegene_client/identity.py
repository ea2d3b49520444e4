"""What a CI system says of the job that runs here: a JWT, to be exchanged for a token.

So that jobs publish without a secret that somebody has stored. GitHub Actions is asked
for a JWT; any other system puts one into `SAFEGENE_OIDC_TOKEN`.
"""

import os
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel

from safegene.errors import AuthenticationError, RegistryError, UsageError
from safegene_client.session import Session
from safegene_client.settings import DEFAULT_TIMEOUT_SECONDS

DEFAULT_AUDIENCE = "safegene"
"""What registries ask for where a trusted publisher names no other audience."""

JWT_VARIABLE = "SAFEGENE_OIDC_TOKEN"
GITHUB_URL_VARIABLE = "ACTIONS_ID_TOKEN_REQUEST_URL"
GITHUB_TOKEN_VARIABLE = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - a name


class _GithubAnswer(BaseModel):
    value: str


def find_jwt(
    *,
    audience: str = DEFAULT_AUDIENCE,
    environment: Mapping[str, str] | None = None,
) -> str:
    """The JWT that stands for this job.

    Args:
        audience: whom it is to be meant for, where it can be chosen.
        environment: variables; None takes the process's own.

    Raises:
        UsageError: nothing here gives one; the message says what would.
        AuthenticationError: GitHub Actions does not give one to this job.
    """
    found = os.environ if environment is None else environment
    given = found.get(JWT_VARIABLE)
    if given:
        return given.strip()
    url, token = found.get(GITHUB_URL_VARIABLE), found.get(GITHUB_TOKEN_VARIABLE)
    if url and token:
        return _ask_github(url, token, audience)
    message = (
        f"no JWT of a CI job: set {JWT_VARIABLE} to one whose audience is {audience!r},"
        " or give the GitHub Actions job `permissions: id-token: write`"
    )
    raise UsageError(message)


def _ask_github(url: str, token: str, audience: str) -> str:
    parts = urlsplit(url)
    query = urlencode({"audience": audience})
    address = f"{url}{'&' if parts.query else '?'}{query}"
    origin = f"{parts.scheme}://{parts.netloc}"
    session = Session(origin, token=token, timeout=DEFAULT_TIMEOUT_SECONDS)
    try:
        return session.ask(_GithubAnswer, "GET", address).value
    except RegistryError as error:
        status = f" ({error.status})" if error.status else ""
        message = (
            f"GitHub Actions gave no JWT{status}; the job needs `permissions: id-token:"
            " write`, and pull requests from forks never get one"
        )
        raise AuthenticationError(message, status=error.status) from error
    finally:
        session.close()
