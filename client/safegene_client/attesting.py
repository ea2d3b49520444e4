"""What `Registry` does with attestations: post, list and prove them.

A registry is believed about who posted something, when, and whom the namespace trusts;
nothing else. What is said, of which version, and whose signature it bears is read from
the envelope, which is held against the version's manifest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from safegene.artifact.attestation.envelope import ENVELOPE_MEDIA_TYPE, Envelope
from safegene.artifact.attestation.predicates import CalibrationMade, Evaluation, Said
from safegene.artifact.attestation.statement import Statement
from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.reference import Reference, check_part
from safegene.errors import AttestationError, DigestMismatchError, InvalidDataError
from safegene_client.attestation_answers import (
    AttestationEntry,
    AttestationPage,
    Evaluator,
    EvaluatorPage,
)
from safegene_client.fetching import Fetcher, version_path
from safegene_client.resolution import as_reference, ask_version, check_answer
from safegene_client.session import Body, Session, json_body
from safegene_client.versions import all_pages

if TYPE_CHECKING:
    from safegene.artifact.attestation.keys import PrivateKey
    from safegene.artifact.manifest import Manifest

MAX_PEM_BYTES = 10_000


@dataclass(frozen=True)
class Attested:
    """Something that is said of a version, proved as far as it can be."""

    entry: AttestationEntry
    """As the registry lists it: who posted it, when, and whether it counts."""
    envelope: Envelope
    """As it was made; its signature, if there is one, holds."""

    @property
    def said(self) -> Said:
        """What is said."""
        return self.envelope.statement.said

    @property
    def key_id(self) -> Digest | None:
        """Whose signature it bears; None: it is unsigned."""
        return self.envelope.key_id


class Attesting:
    """Verbs of `Registry` about what is said of versions."""

    _session: Session
    _fetcher: Fetcher

    def attest(
        self, ref: str | Reference, said: Said, *, key: "PrivateKey | None" = None
    ) -> AttestationEntry:
        """Say something of a version; the same again is a success.

        Args:
            ref: the version; a range or an alias is looked up first.
            said: an evaluation, a calibration, provenance or a yank statement.
            key: what to sign it with; None: it shows as unsigned.

        Raises:
            AttestationError: it is about another version.
            NotFoundError: there is no such version.
            ForbiddenError: the token may not publish; a yank statement takes a
                publisher of the namespace.
            RegistryError: the registry refused or could not be reached.
        """
        path, manifest = self._proven(ref)
        statement = Statement(manifest.identity, manifest.digest, said)
        envelope = Envelope.of(statement, key)
        # What is wrong is told here, before anything is sent.
        Envelope.from_bytes(envelope.to_bytes())
        return self._session.ask(
            AttestationEntry,
            "POST",
            path,
            body=Body.of(envelope.to_bytes(), ENVELOPE_MEDIA_TYPE),
        )

    def attestations(
        self,
        ref: str | Reference,
        *,
        kind: str | None = None,
        evaluator: str | None = None,
        trusted: bool | None = None,
        signed: bool | None = None,
    ) -> list[Attested]:
        """What was said of a version, the last one first, each proved.

        Args:
            ref: the version; a range or an alias is looked up first.
            kind: only `evaluation`, `calibration`, `provenance` or `yank`.
            evaluator: only what this account posted.
            trusted: only what the namespace trusts, or only what it does not.
            signed: only signed ones, or only unsigned ones.

        Raises:
            DigestMismatchError: the registry sent another envelope than it listed.
            AttestationError: an envelope is not what the registry says of it, is about
                another version, or its signature does not hold.
            NotFoundError: there is no such version.
            RegistryError: the registry refused or could not be reached.
        """
        path, manifest = self._proven(ref)
        asked: dict[str, str | None] = {
            "kind": kind,
            "evaluator": evaluator,
            "trusted": _flag(trusted),
            "signed": _flag(signed),
        }
        chosen = {name: text for name, text in asked.items() if text is not None}
        entries = all_pages(
            lambda params: self._session.ask(
                AttestationPage, "GET", path, params={**params, **chosen}
            )
        )
        return [self._fetched(path, entry, manifest.digest) for entry in entries]

    def evaluators(self, namespace: str) -> list[Evaluator]:
        """Whose attestations count in a namespace, by name.

        Raises:
            NotFoundError: there is no such namespace.
            RegistryError: the registry refused or could not be reached.
        """
        path = _evaluators(namespace)
        return all_pages(
            lambda params: self._session.ask(EvaluatorPage, "GET", path, params=params)
        )

    def trust_evaluator(
        self,
        namespace: str,
        name: str,
        *,
        account: str | None = None,
        public_key: str | None = None,
    ) -> Evaluator:
        """Let attestations count that an account posts, or that bear a key's signature.

        Args:
            namespace: where.
            name: what to call the evaluator; whoever was called so is not trusted any
                more.
            account: who has to have posted; None: anybody may have.
            public_key: PEM of a key on EC P-256 that has to have signed; None: none.

        Raises:
            RejectedError: neither is given, or the key is none of ours.
            NotFoundError: there is no such account.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_evaluators(namespace)}/{quote(check_part(name, 'evaluator'))}"
        wanted = {"account": account, "public_key": public_key}
        return self._session.ask(Evaluator, "PUT", path, body=json_body(wanted))

    def distrust_evaluator(self, namespace: str, name: str) -> None:
        """Let them not count any more, at once.

        Raises:
            NotFoundError: nobody is called so there.
            ForbiddenError: the token is not an owner's, of scope admin.
            RegistryError: the registry refused or could not be reached.
        """
        path = f"{_evaluators(namespace)}/{quote(check_part(name, 'evaluator'))}"
        self._session.send("DELETE", path)

    def _proven(self, ref: str | Reference) -> "tuple[str, Manifest]":
        """Where the attestations of a version are, and its manifest, by its digest."""
        reference = as_reference(ref)
        resolved = ask_version(self._session, reference)
        check_answer(self._session.url, reference, resolved)
        manifest = self._fetcher.manifest(resolved)
        path = version_path(reference.vector, resolved.version)
        return f"{path}/attestations", manifest

    def _fetched(self, path: str, entry: AttestationEntry, version: Digest) -> Attested:
        digest = Digest.parse(entry.digest)
        data = self._session.send("GET", f"{path}/{digest}").body
        actual = digest_bytes(data)
        if actual != digest:
            message = (
                f"the attestation {digest} from {self._session.url}: got {actual};"
                " nothing in it is believed"
            )
            raise DigestMismatchError(message, expected=str(digest), actual=str(actual))
        return Attested(entry, proven_envelope(entry, data, version))


def proven_envelope(entry: AttestationEntry, data: bytes, version: Digest) -> Envelope:
    """Hold what the registry says of an attestation against the envelope itself.

    Args:
        entry: what the registry says.
        data: the envelope, whose digest is the one that was asked for.
        version: the digest of the version that it has to be about.

    Raises:
        AttestationError: they do not agree, it is about another version, or its
            signature does not hold.
    """
    envelope = Envelope.from_bytes(data)
    key_id = envelope.verify()
    envelope.statement.require_subject(version)
    said = envelope.statement.said
    told = {
        "kind": entry.kind,
        "key": entry.key_id,
        "signed": entry.signed,
        "figures": _told_figures(entry),
    }
    is_so = {
        "kind": str(envelope.statement.kind),
        "key": None if key_id is None else str(key_id),
        "signed": key_id is not None,
        "figures": _figures(said),
    }
    for name, value in is_so.items():
        if told[name] != value:
            message = (
                f"the attestation {entry.digest}: the registry says {name}"
                f" {told[name]!r}, the envelope {value!r}; do not believe this registry"
            )
            raise AttestationError(message, reason="statement")
    return envelope


def _figures(said: Said) -> Any:
    if isinstance(said, Evaluation):
        ranges = (said.harm, said.J, said.over_refusal)
        counts = (said.against, said.harm.n, said.over_refusal.n)
        return counts, *[figure.numbers for figure in ranges]
    if isinstance(said, CalibrationMade):
        made = said.calibration
        gain = tuple(map(float, (made.gain.value, made.gain.low, made.gain.high)))
        return gain, float(made.realised_kl)
    return None


def _told_figures(entry: AttestationEntry) -> Any:
    if entry.evaluation is not None:
        said = entry.evaluation
        ranges = (said.harm, said.j, said.over_refusal)
        counts = (said.against, said.harmful_samples, said.harmless_samples)
        return counts, *[(each.value, each.low, each.high) for each in ranges]
    if entry.calibration is not None:
        gain = entry.calibration.gain
        return (gain.value, gain.low, gain.high), entry.calibration.kl
    return None


def read_private_key(path: Path, password: str | None = None) -> "PrivateKey":
    """The key of a PEM file.

    Raises:
        InvalidDataError: it cannot be read.
        UsageError: it is not a private key on EC P-256, or the password is wrong.
    """
    from safegene.artifact.attestation.keys import PrivateKey

    secret = None if password is None else password.encode()
    return PrivateKey.from_pem(_read_pem(path), secret)


def read_public_key(path: Path) -> str:
    """The PEM of a public key's file, which the registry looks at.

    Raises:
        InvalidDataError: it cannot be read.
    """
    return _read_pem(path).decode("utf-8", "replace")


def _read_pem(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_PEM_BYTES + 1)
    except OSError as error:
        message = f"{path}: cannot be read: {error.strerror or error}"
        raise InvalidDataError(message) from None
    if len(data) > MAX_PEM_BYTES:
        message = f"{path}: expected a key in PEM, of at most {MAX_PEM_BYTES} bytes"
        raise InvalidDataError(message)
    return data


def _flag(value: bool | None) -> str | None:  # noqa: FBT001 - what is to be spelled
    return None if value is None else str(value).lower()


def _evaluators(namespace: str) -> str:
    return f"/v1/namespaces/{check_part(namespace, 'namespace')}/evaluators"
