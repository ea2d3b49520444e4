"""What `Registry` does with advisories, and the lock files that it asks about.

A lock file is text, one reference a line, each of which names one version by number or
digest; what follows a `#` is a comment.
"""

from pathlib import Path

from safegene.artifact.reference import Reference, VectorName, parse_reference
from safegene.errors import InvalidDataError, InvalidReferenceError
from safegene_client.fetching import vector_path
from safegene_client.lifecycle_answers import Advisory, AdvisoryPage
from safegene_client.resolution import as_reference, as_vector, ask_version
from safegene_client.session import Session, json_body
from safegene_client.versions import all_pages


class Advisories:
    """Verbs of `Registry` about what is known to be wrong with versions."""

    _session: Session

    def advisories(self, ref: str | Reference) -> list[Advisory]:
        """Advisories that concern a version, or all of a vector, the last one first.

        Args:
            ref: a version, a range, an alias, a digest: those that stand and concern
                what it means now. A vector alone: all, withdrawn ones too.

        Raises:
            NotFoundError: there is no such vector or version.
            RegistryError: the registry refused or could not be reached.
        """
        reference = as_reference(ref)
        path = f"{vector_path(reference.vector)}/advisories"
        about = {}
        if reference != Reference(reference.vector):
            version = reference.version
            about["version"] = version or ask_version(self._session, reference).version
        return all_pages(
            lambda params: self._session.ask(
                AdvisoryPage, "GET", path, params={**params, **about}
            )
        )

    def publish_advisory(
        self,
        vector: str | VectorName,
        *,
        affected: str,
        severity: str,
        summary: str,
        details: str = "",
        fixed_in: str | None = None,
    ) -> Advisory:
        """Tell everybody who asks for versions in a range what is wrong with them.

        Args:
            vector: of which.
            affected: the range, as `>=1.0,<1.2.1`.
            severity: `low`, `moderate`, `high` or `critical`.
            summary: one line, shown at every pull.
            details: the rest.
            fixed_in: the first version without it; None: there is none yet.

        Raises:
            RejectedError: the range cannot be read, or has the version that mends it.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        wanted = {
            "severity": severity,
            "affected": affected,
            "summary": summary,
            "details": details,
            "fixed_in": fixed_in,
        }
        path = f"{vector_path(as_vector(vector))}/advisories"
        return self._session.ask(Advisory, "POST", path, body=json_body(wanted))

    def withdraw_advisory(
        self, vector: str | VectorName, number: int, reason: str
    ) -> Advisory:
        """Say that an advisory does not stand; it stays in the list.

        Raises:
            NotFoundError: there is none of this number.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{vector_path(as_vector(vector))}/advisories/{number}/withdrawal"
        return self._session.ask(
            Advisory, "PUT", path, body=json_body({"reason": reason})
        )


def read_lock(path: str | Path) -> list[Reference]:
    """The versions that a lock file names.

    Raises:
        InvalidDataError: it cannot be read, or a line does not name one version.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path}: cannot be read: {error}"
        raise InvalidDataError(message) from None
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        wanted = line.partition("#")[0].strip()
        if wanted:
            found.append(_pin(path, number, wanted))
    return found


def _pin(path: str | Path, number: int, text: str) -> Reference:
    try:
        reference = parse_reference(text)
    except InvalidReferenceError as error:
        message = f"{path}, line {number}: {error}"
        raise InvalidDataError(message) from None
    if reference.version is None and reference.digest is None:
        message = (
            f"{path}, line {number}: {text!r} may mean another version tomorrow;"
            " expected a number or a digest, as acme/guard@1.2.0"
        )
        raise InvalidDataError(message)
    return reference
