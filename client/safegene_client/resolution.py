"""Which version a reference means, as the registry says and as far as that is believed.

Also what changes that: a yanked version is what no range means any more.
"""

from safegene.artifact.digest import Digest
from safegene.artifact.reference import (
    Reference,
    VectorName,
    best_version,
    parse_reference,
)
from safegene.errors import InvalidReferenceError, RegistryError, UsageError
from safegene_client.answers import ResolvedVersion, YankedVersion
from safegene_client.fetching import vector_path, version_path
from safegene_client.session import Session, json_body


def as_reference(ref: str | Reference) -> Reference:
    """A reference, read if it is text.

    Raises:
        InvalidReferenceError: it is not well formed.
    """
    return parse_reference(ref) if isinstance(ref, str) else ref


def as_vector(vector: str | VectorName) -> VectorName:
    """A vector's name, read if it is text.

    Raises:
        InvalidReferenceError: it is not well formed.
    """
    return VectorName.parse(vector) if isinstance(vector, str) else vector


def ask_version(session: Session, reference: Reference) -> ResolvedVersion:
    """The version that the registry says a reference means.

    Raises:
        NotFoundError: there is none.
        RegistryError: the registry refused or could not be reached.
    """
    if reference.version is not None:
        path = version_path(reference.vector, reference.version)
        return session.ask(ResolvedVersion, "GET", path)
    picks = {
        "constraint": reference.constraint,
        "alias": reference.alias,
        "digest": None if reference.digest is None else str(reference.digest),
    }
    return session.ask(
        ResolvedVersion,
        "GET",
        f"{vector_path(reference.vector)}/resolve",
        params={key: value for key, value in picks.items() if value},
    )


def check_answer(url: str, reference: Reference, resolved: ResolvedVersion) -> None:
    """Believe an answer only as far as it answers the question.

    Args:
        url: of the registry, for the message.
        reference: what was asked for.
        resolved: what was answered.

    Raises:
        RegistryError: it is something else.
    """
    try:
        digest = Digest.parse(resolved.digest)
        matches = (
            f"{resolved.namespace}/{resolved.name}" == str(reference.vector)
            and reference.version in (None, resolved.version)
            and reference.digest in (None, digest)
            and best_version([resolved.version], reference.constraint) is not None
        )
    except (InvalidReferenceError, ValueError):
        matches = False
    if not matches:
        message = (
            f"the registry at {url} was asked for {reference} and answered"
            f" {resolved.identity} ({resolved.digest}); nothing was fetched"
        )
        raise RegistryError(message)


def one_version(session: Session, reference: Reference) -> str:
    """The address of the version that a reference names, by number or digest.

    Raises:
        UsageError: the reference may mean another version tomorrow.
        RegistryError: the registry refused or could not be reached.
    """
    version = reference.version
    if version is None:
        if reference.digest is None:
            message = (
                f"{reference} may mean another version tomorrow; name one, as"
                f" {reference.vector}@1.2.0 or by its digest"
            )
            raise UsageError(message)
        version = ask_version(session, reference).version
    return version_path(reference.vector, version)


def set_yank(
    session: Session, reference: Reference, reason: str | None
) -> YankedVersion:
    """Yank a version, or take that back.

    Args:
        session: with a token.
        reference: names one version, by number or digest.
        reason: why; None takes it back.

    Raises:
        UsageError: the reference may mean another version tomorrow.
        RegistryError: the registry refused or could not be reached.
    """
    path = f"{one_version(session, reference)}/yank"
    if reason is None:
        return session.ask(YankedVersion, "DELETE", path)
    body = json_body({"reason": reason})
    return session.ask(YankedVersion, "PUT", path, body=body)
