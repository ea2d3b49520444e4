"""`Registry`: search, ask what fits, resolve, pull and publish safety vectors.

What comes from a registry is proved before it is visible; what refuses or fails raises
an exception of `safegene.errors` and nothing else. Importing this loads no torch.
"""

import logging
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from safegene.artifact.compatibility import Level, Verdict, require
from safegene.artifact.digest import Digest
from safegene.artifact.lineage import load_sketch
from safegene.artifact.manifest import LINEAGE_NAME, Manifest
from safegene.artifact.reference import Reference, VectorName, parse_reference
from safegene.errors import NotFoundError
from safegene_client.answers import (
    CompatibilityAnswer,
    ExchangedToken,
    Match,
    ResolvedVersion,
    VectorDetail,
    VectorSummary,
)
from safegene_client.cache import Cache
from safegene_client.fetching import Fetcher
from safegene_client.fits import ask_what_fits
from safegene_client.happenings import Happenings
from safegene_client.lifecycle import Lifecycle
from safegene_client.notices import notices, replaced
from safegene_client.promotion import Promotion
from safegene_client.publishing import publish_directory
from safegene_client.pulled import PulledVector
from safegene_client.resolution import (
    as_reference,
    as_vector,
    ask_version,
    check_answer,
)
from safegene_client.searching import ANYTHING, Evaluated, as_order, search_vectors
from safegene_client.session import Session, json_body
from safegene_client.settings import Settings
from safegene_client.targets import TargetModel, describe_model
from safegene_client.transfer import Progress
from safegene_client.versions import describe_vector

log = logging.getLogger("safegene.client")


class Registry(Lifecycle, Happenings, Promotion):
    """A registry and the cache on this machine.

    Args:
        url: its address; None takes `SAFEGENE_URL`, else this machine's port 8080.
        token: for publishing; None takes `SAFEGENE_TOKEN`.
        cache: where verified bytes go; None takes `SAFEGENE_CACHE`, else the user's
            cache directory.
        timeout: seconds without a byte after which an answer counts as lost.

    Raises:
        UsageError: a setting makes no sense.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        cache: str | Path | None = None,
        timeout: float | None = None,
    ) -> None:
        self.settings = Settings.read(
            url=url, token=token, cache=cache, timeout=timeout
        )
        self._session = Session(
            self.settings.url,
            token=self.settings.token,
            timeout=self.settings.timeout,
        )
        self._cache = Cache(self.settings.cache)
        self._fetcher = Fetcher(self._session, self._cache)
        # Five lines of Python need no with statement to leave no socket open.
        self._finalizer = weakref.finalize(self, self._session.close)

    @property
    def url(self) -> str:
        """The registry's address."""
        return self.settings.url

    def close(self) -> None:
        """Close all connections; also done when the object is forgotten."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def exchange(self, namespace: str, jwt: str) -> ExchangedToken:
        """Exchange a CI job's JWT for a token, to open another `Registry` with.

        Args:
            namespace: where the job wants to publish; an owner trusts it there.
            jwt: see `find_jwt`; most can be exchanged only once.

        Raises:
            AuthenticationError: the registry does not take it; the message says why.
            RegistryError: the registry refused or could not be reached.
        """
        body = json_body({"namespace": namespace, "jwt": jwt})
        return self._session.ask(ExchangedToken, "POST", "/v1/oidc/token", body=body)

    def search(
        self,
        query: str = "",
        *,
        namespace: str | None = None,
        fingerprint: str | None = None,
        base_model: str | None = None,
        family: str | None = None,
        layers: int | None = None,
        license: str | None = None,  # noqa: A002 - the word of the manifest
        rank: int | None = None,
        evaluated: Evaluated = ANYTHING,
        sort: Literal["name", "j"] = "name",
        limit: int = 50,
    ) -> list[VectorSummary]:
        """Vectors, each once; all filters must hold of the newest version.

        Args:
            query: in the name or the description.
            namespace: of the vector.
            fingerprint: of the base model's family.
            base_model: its id.
            family: its `model_type`.
            layers: how many it has.
            license: of the vector.
            rank: of the vector.
            evaluated: what an evaluation that counts has to show.
            sort: what comes first: names, or the best J that counts.
            limit: at most so many.

        Raises:
            RegistryError: the registry refused or could not be reached.
            UsageError: there is no such order.
        """
        facts = {
            "query": query,
            "namespace": namespace,
            "fingerprint": fingerprint,
            "base_model": base_model,
            "family": family,
            "layers": layers,
            "license": license,
            "rank": rank,
        }
        return search_vectors(self._session, facts, evaluated, as_order(sort), limit)

    def describe(self, vector: str | VectorName) -> VectorDetail:
        """A vector and all its versions, newest first.

        Raises:
            NotFoundError: there is none of this name.
            RegistryError: the registry refused, could not be reached, or its list of
                versions has no end.
        """
        return describe_vector(self._session, as_vector(vector))

    def resolve(self, ref: str | Reference) -> ResolvedVersion:
        """The version a reference means.

        Raises:
            InvalidReferenceError: the reference is not well formed.
            NotFoundError: there is no such vector or version.
            RegistryError: the registry refused, answered something else than it was
                asked, or could not be reached.
        """
        reference = as_reference(ref)
        try:
            resolved = ask_version(self._session, reference)
        except NotFoundError as error:
            message = (
                f"{error.detail}; asked for {reference}, `safegene inspect"
                f" {reference.vector}` and `safegene search` list what there is"
            )
            raise NotFoundError(
                message,
                status=error.status,
                problem_type=error.problem_type,
                request_id=error.request_id,
            ) from None
        check_answer(self.url, reference, resolved)
        for notice in notices(resolved):
            log.warning("%s", notice)
        return resolved

    def manifest(self, ref: str | Reference | ResolvedVersion) -> Manifest:
        """The manifest a reference means, verified; its files are not fetched.

        Raises:
            ArtifactError: the registry sent another manifest than it named.
            RegistryError: as for `resolve`.
        """
        resolved = ref if isinstance(ref, ResolvedVersion) else self.resolve(ref)
        return self._fetcher.manifest(resolved)

    def compatible(
        self,
        model: Any,
        *,
        constraint: str | None = None,
        namespace: str | None = None,
        base_model: str | None = None,
        license: str | None = None,  # noqa: A002 - the word of the manifest
        max_rank: int | None = None,
        limit: int = 50,
        check_lineage: bool = True,
    ) -> CompatibilityAnswer:
        """Ask which vectors fit a model.

        The registry compares structures; where the model's weights are at hand their
        lineage is compared here, which fetches a few kilobytes a match.

        Args:
            model: directory, parsed config, GGUF file, or loaded model.
            constraint: only versions in this range, such as `~=1.2`.
            namespace: only vectors of this namespace.
            base_model: only vectors made for this one.
            license: only vectors under this one.
            max_rank: only vectors of at most this rank.
            limit: at most so many matches.
            check_lineage: compare weights as well, where there are any.

        Raises:
            UsageError: that is no model.
            RegistryError: the registry refused or could not be reached.
        """
        target = describe_model(model)
        question = {
            "config": dict(target.config),
            "constraint": constraint,
            "namespace": namespace,
            "base_model": base_model,
            "license": license,
            "max_rank": max_rank,
            "limit": limit,
        }
        answer = ask_what_fits(self._session, question)
        if not check_lineage:
            return answer
        judged = [self._with_lineage(match, target) for match in answer.fits]
        fits = [match for match in judged if match.level is not Level.INCOMPATIBLE]
        strangers = [match for match in judged if match.level is Level.INCOMPATIBLE]
        return answer.model_copy(
            update={"fits": tuple(fits), "others": (*strangers, *answer.others)}
        )

    def pull(
        self,
        ref: str | Reference,
        model: Any = None,
        *,
        allow_unverified_lineage: bool = False,
        progress: Progress | None = None,
    ) -> PulledVector:
        """Bring a version onto this machine, verified.

        Args:
            ref: such as `acme/guard@~=1.0`.
            model: what it is for; a vector that does not fit is refused before its
                files are fetched.
            allow_unverified_lineage: take a model whose lineage differs; its structure
                must fit in any case.
            progress: called with bytes done and bytes in all.

        Raises:
            CompatibilityError: the vector does not fit the model.
            ArtifactError: other bytes came than were promised; nothing is kept.
            RegistryError: the registry refused or could not be reached.
            LocalStorageError: the disk is full or not writable; nothing is left.
        """
        reference = as_reference(ref)
        target = None if model is None else describe_model(model)
        allow = allow_unverified_lineage
        # A digest says everything: what is here under it needs no registry.
        if reference.digest is not None:
            path = self._cache.version(reference.vector, reference.digest)
            if path is not None:
                return _fitting(PulledVector.open(path), target, allow=allow)
        resolved = self.resolve(reference)
        path = self._cache.version(reference.vector, Digest.parse(resolved.digest))
        if path is not None:
            found = replace(PulledVector.open(path), resolved=resolved)
            return _fitting(found, target, allow=allow)
        self._tell_replaced(resolved)
        manifest = self._fetcher.manifest(resolved)
        if target is not None:
            self._refuse_misfit(manifest, target, allow=allow)
        path = self._fetcher.version(manifest, progress=progress)
        return PulledVector(manifest, path, resolved)

    def publish(
        self, directory: str | Path, *, progress: Progress | None = None
    ) -> ResolvedVersion:
        """Publish a version's directory; publishing the same again is a success.

        Raises:
            ArtifactError: the directory is not a whole and consistent version.
            AlreadyExistsError: another manifest is published under this version.
            AuthenticationError: no good token.
            RegistryError: the registry refused or could not be reached.
            LocalStorageError: a file cannot be read.
        """
        return publish_directory(
            self._session,
            Path(directory),
            records=self.settings.cache / "uploads",
            progress=progress,
        )

    def _tell_replaced(self, resolved: ResolvedVersion) -> None:
        """Say that a version's number meant other bytes when it was pulled before."""
        vector = VectorName(resolved.namespace, resolved.name)
        for _, manifest in self._cache.older_versions(vector):
            if manifest.version == resolved.version:
                log.warning("%s", replaced(resolved, manifest.digest, self.url))

    def _with_lineage(self, match: Match, target: TargetModel) -> Match:
        reference = parse_reference(f"{match.namespace}/{match.name}@{match.digest}")
        manifest = self._fetcher.manifest(self.resolve(reference))
        sketch = None
        if target.sketch(manifest.architecture) is not None:
            path = self._fetcher.file(manifest, LINEAGE_NAME)
            sketch = load_sketch(path, manifest.architecture)
        verdict = target.verdict(manifest.architecture, sketch)
        return match.model_copy(
            update={
                "level": verdict.level,
                "reasons": verdict.reasons,
                "notes": verdict.notes,
                "lineage": verdict.lineage,
            }
        )

    def _refuse_misfit(
        self, manifest: Manifest, target: TargetModel, *, allow: bool
    ) -> None:
        """Refuse by structure first, then by lineage, before the tensors are fetched.

        A model known by its config alone is let through: applying checks again.
        """
        verdict = target.verdict(manifest.architecture, None)
        if verdict.level is not Level.INCOMPATIBLE:
            path = self._fetcher.file(manifest, LINEAGE_NAME)
            sketch = load_sketch(path, manifest.architecture)
            verdict = target.verdict(manifest.architecture, sketch)
        _refuse_incompatible(verdict, allow=allow)


def _fitting(
    pulled: PulledVector, target: TargetModel | None, *, allow: bool
) -> PulledVector:
    if target is not None:
        sketch = load_sketch(pulled.path / LINEAGE_NAME, pulled.manifest.architecture)
        verdict = target.verdict(pulled.manifest.architecture, sketch)
        _refuse_incompatible(verdict, allow=allow)
    return pulled


def _refuse_incompatible(verdict: Verdict, *, allow: bool) -> None:
    # What could not be checked may be pulled; applying asks again.
    if verdict.level is Level.INCOMPATIBLE:
        require(verdict, allow_unverified_lineage=allow)
