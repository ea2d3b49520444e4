"""Where the registry is, who asks, and where verified bytes are kept.

Arguments win over the environment (`SAFEGENE_URL`, `SAFEGENE_TOKEN`, `SAFEGENE_CACHE`,
`SAFEGENE_TIMEOUT`), the environment over the defaults. Stable.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from platformdirs import user_cache_path

from safegene.errors import UsageError

DEFAULT_URL = "http://127.0.0.1:8080"
"""Where `safegene-registry serve` listens when it is told nothing."""

DEFAULT_TIMEOUT_SECONDS = 30.0

URL_VARIABLE = "SAFEGENE_URL"
TOKEN_VARIABLE = "SAFEGENE_TOKEN"  # noqa: S105 - a variable's name
CACHE_VARIABLE = "SAFEGENE_CACHE"
TIMEOUT_VARIABLE = "SAFEGENE_TIMEOUT"


@dataclass(frozen=True)
class Settings:
    """How a client is set up; make one with `Settings.read`."""

    url: str
    """Base address of the registry, without a trailing slash."""
    cache: Path
    """Root of the content-addressed cache; made when first needed."""
    token: str | None = field(default=None, repr=False)
    """Sent with every request to the registry and to nobody else."""
    timeout: float = DEFAULT_TIMEOUT_SECONDS
    """Seconds without a byte after which an answer counts as lost."""

    @classmethod
    def read(
        cls,
        *,
        url: str | None = None,
        token: str | None = None,
        cache: str | Path | None = None,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Gather the settings from arguments, environment and defaults.

        Raises:
            UsageError: a value makes no sense; the message names its variable.
        """
        found = os.environ if environment is None else environment
        place = cache or found.get(CACHE_VARIABLE)
        seconds = found.get(TIMEOUT_VARIABLE) or None if timeout is None else timeout
        return cls(
            url=_checked_url(url or found.get(URL_VARIABLE) or DEFAULT_URL),
            cache=Path(place).expanduser() if place else _default_cache(),
            token=_checked_token(token or found.get(TOKEN_VARIABLE) or None),
            timeout=_checked_timeout(seconds),
        )


def _default_cache() -> Path:
    return user_cache_path("safegene", appauthor=False)


def _checked_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        # Reading the port is what checks it.
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    good = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not good or parts.query or parts.fragment or not text.isprintable():
        message = (
            f"{URL_VARIABLE}: expected an address such as {DEFAULT_URL}, got {text!r}"
        )
        raise UsageError(message)
    if parts.username or parts.password:
        message = (
            f"{URL_VARIABLE}: expected an address without user and password; put the"
            f" registry's token into {TOKEN_VARIABLE}"
        )
        raise UsageError(message)
    return text.rstrip("/")


def _checked_token(token: str | None) -> str | None:
    if token is not None and not (token.isascii() and token.isprintable()):
        message = (
            f"{TOKEN_VARIABLE}: expected printable ASCII without line breaks; copy the"
            " token anew"
        )
        raise UsageError(message)
    return token


def _checked_timeout(value: float | str | None) -> float:
    if value is None:
        return DEFAULT_TIMEOUT_SECONDS
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        message = f"{TIMEOUT_VARIABLE}: expected a number of seconds, got {value!r}"
        raise UsageError(message)
    return seconds
