"""From a registry into the cache: manifests, single files, whole versions.

The manifest is proved against the version's digest and everything else against the
manifest, so a registry is believed in nothing but where bytes are.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import TENSORS_NAME, FileEntry, Manifest
from safegene.artifact.reference import VectorName
from safegene.errors import DigestMismatchError, RegistryError, SafeGeneError
from safegene_client.answers import ResolvedVersion
from safegene_client.beside import Beside
from safegene_client.cache import Cache
from safegene_client.session import Session
from safegene_client.storage import storage_errors
from safegene_client.transfer import Blob, LocalRange, Progress, fetch_blob

LARGE_BYTES = 32 << 20
"""From this size on the other files are fetched beside the largest one."""


class Fetcher:
    """Fetches what is not in the cache yet.

    Args:
        session: with the registry.
        cache: where verified bytes go.
    """

    def __init__(self, session: Session, cache: Cache) -> None:
        self._session = session
        self._cache = cache

    def manifest(self, resolved: ResolvedVersion) -> Manifest:
        """The manifest of a resolved version.

        Raises:
            DigestMismatchError: the registry sent another manifest than it named.
            ManifestError: it breaks the format.
            RegistryError: it refused, or the manifest is of another version.
        """
        digest = Digest.parse(resolved.digest)
        vector = VectorName(resolved.namespace, resolved.name)
        path = f"{version_path(vector, resolved.version)}/manifest"
        data = self._session.send("GET", path).body
        actual = digest_bytes(data)
        if actual != digest:
            message = (
                f"the manifest of {resolved.identity} from {self._session.url}:"
                f" expected digest {digest}, got {actual}; nothing was kept"
            )
            raise DigestMismatchError(message, expected=str(digest), actual=str(actual))
        manifest = Manifest.from_bytes(data)
        if manifest.identity != resolved.identity:
            message = (
                f"the registry at {self._session.url} gave the manifest of"
                f" {manifest.identity} for {resolved.identity}; nothing was kept"
            )
            raise RegistryError(message)
        return manifest

    def file(
        self, manifest: Manifest, name: str, *, progress: Progress | None = None
    ) -> Path:
        """One verified file of a version, in the cache.

        Raises:
            ArtifactError: other bytes came than the manifest names.
            RegistryError: the registry refused or could not be reached.
            LocalStorageError: the disk is full or not writable; nothing is left.
        """
        entry = manifest.file(name)
        base = version_path(manifest.vector, manifest.version)
        blob = Blob(
            path=f"{base}/files/{entry.path}",
            name=f"{entry.path} of {manifest.identity}",
            digest=Digest.parse(entry.digest),
            size=entry.size,
            segments=entry.segments or (),
            donors=self._donors(manifest, entry),
        )
        return self._cache.add_blob(
            blob.digest,
            blob.size,
            lambda partial: fetch_blob(self._session, blob, partial, progress=progress),
        )

    def version(self, manifest: Manifest, *, progress: Progress | None = None) -> Path:
        """A whole verified version as a directory in the cache.

        Raises:
            ArtifactError: other bytes came than the manifest names.
            RegistryError: the registry refused or could not be reached.
            LocalStorageError: the disk is full or not writable; nothing is left.
        """
        *small, largest = sorted(manifest.files, key=lambda entry: entry.size)

        def fetch_small() -> None:
            for entry in small:
                self.file(manifest, entry.path)

        done = sum(entry.size for entry in small)
        beside = Beside(fetch_small)
        if largest.size < LARGE_BYTES:
            beside.wait()
        try:
            self._fetch_last(manifest, largest, done, progress, watch=beside.check)
        except Exception:
            # Whatever is wrong here is so there, too; it does not last.
            with suppress(SafeGeneError):
                beside.wait()
            raise
        beside.wait()
        return self._cache.add_version(manifest)

    def _fetch_last(
        self,
        manifest: Manifest,
        entry: FileEntry,
        before: int,
        progress: Progress | None,
        *,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        """The file that everybody waits for; the others have `before` bytes."""

        def tell(done: int, _total: int) -> None:
            watch()
            if progress:
                progress(before + done, manifest.size_bytes)

        self.file(manifest, entry.path, progress=tell)
        tell(entry.size, entry.size)

    def _donors(self, manifest: Manifest, entry: FileEntry) -> Mapping[str, LocalRange]:
        """Where segments of the tensor file lie in older versions on this machine."""
        wanted = {segment.digest for segment in entry.segments or ()}
        found: dict[str, LocalRange] = {}
        if not wanted:
            return found
        for directory, older in self._cache.older_versions(manifest.vector):
            path = directory / TENSORS_NAME
            with storage_errors(path):
                if not path.is_file():
                    continue
            for segment in older.file(TENSORS_NAME).segments or ():
                if segment.digest in wanted:
                    found.setdefault(segment.digest, LocalRange(path, segment.offset))
        return found


def vector_path(vector: VectorName) -> str:
    """A vector's address below the registry's."""
    return f"/v1/vectors/{vector.namespace}/{vector.name}"


def version_path(vector: VectorName, version: str) -> str:
    """A version's address below the registry's."""
    return f"{vector_path(vector)}/versions/{quote(version, safe='')}"
