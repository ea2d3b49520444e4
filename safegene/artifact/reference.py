"""References: how people and programs name a vector and one of its versions.

Stable. The grammar, with `namespace/name` as the vector:

    namespace/name                   the newest version
    namespace/name@1.2.0             one version (PEP 440, canonical spelling)
    namespace/name@~=1.2             the newest version in a range
    namespace/name:stable            an alias; namespace/name@stable is the same
    namespace/name@sha256:<64 hex>   exactly these bytes
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from safegene.artifact.digest import Digest
from safegene.errors import InvalidReferenceError

PART_PATTERN = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
"""What a namespace or a name looks like, and an alias; `..` is refused besides."""

_PART = re.compile(PART_PATTERN)
_LETTER = re.compile("[a-z]")
_RELEASE_PARTS = 3
_RANGE_SIGNS = "<>=!~"


def check_part(text: str, what: str) -> str:
    """Return `text` if it can be a namespace, name or alias.

    Raises:
        InvalidReferenceError: it cannot; the message names `what`.
    """
    if _PART.fullmatch(text) is None or ".." in text:
        message = (
            f"invalid {what} {text!r}: expected 1 to 64 of a-z, 0-9, '.', '_', '-',"
            " beginning and ending with a letter or digit and without '..'"
        )
        raise InvalidReferenceError(message)
    return text


def check_alias(text: str) -> str:
    """Return `text` if it can be an alias: a part that no version is spelled like.

    Raises:
        InvalidReferenceError: it cannot.
    """
    check_part(text, "alias")
    if _LETTER.match(text) is None or _is_version(text):
        message = (
            f"invalid alias {text!r}: it has to begin with a letter and must not read"
            " as a version, which is named after '@'"
        )
        raise InvalidReferenceError(message)
    return text


def _is_version(text: str) -> bool:
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


@dataclass(frozen=True, order=True)
class VectorName:
    """The name of a safety vector, `namespace/name`."""

    namespace: str
    name: str

    def __post_init__(self) -> None:
        check_part(self.namespace, "namespace")
        check_part(self.name, "name")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `namespace/name`; the inverse of `str`.

        Raises:
            InvalidReferenceError: `text` has another form.
        """
        namespace, slash, name = text.partition("/")
        if not slash:
            message = f"invalid vector {text!r}: expected namespace/name"
            raise InvalidReferenceError(message)
        return cls(namespace, name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Reference:
    """A vector and at most one way to pick a version of it."""

    vector: VectorName
    version: str | None = None
    constraint: str | None = None
    alias: str | None = None
    digest: Digest | None = None

    def __str__(self) -> str:
        if self.alias is not None:
            return f"{self.vector}:{self.alias}"
        pick = self.version or self.constraint or self.digest
        return f"{self.vector}@{pick}" if pick else str(self.vector)


def parse_reference(text: str) -> Reference:
    """Read a reference; `str` of the result reads back as the same reference.

    Raises:
        InvalidReferenceError: `text` fits no form of the grammar.
    """
    head, at, pick = text.strip().partition("@")
    if not at:
        vector, colon, alias = head.partition(":")
        name = VectorName.parse(vector)
        return Reference(name, alias=check_alias(alias) if colon else None)
    name = VectorName.parse(head)
    if pick.startswith("sha256:"):
        return Reference(name, digest=Digest.parse(pick))
    if pick[:1] and pick[0] in _RANGE_SIGNS:
        return Reference(name, constraint=canonical_constraint(pick))
    if _LETTER.match(pick) and not _is_version(pick):
        return Reference(name, alias=check_alias(pick))
    return Reference(name, version=canonical_version(pick))


def canonical_version(text: str) -> str:
    """The one spelling of a version: three release parts at least, no zeros beyond.

    Raises:
        InvalidReferenceError: not PEP 440, or it has a local part (`1.0+x`).
    """
    try:
        version = Version(text)
    except InvalidVersion:
        message = f"invalid version {text!r}: expected a PEP 440 version such as 1.2.0"
        raise InvalidReferenceError(message) from None
    if version.local is not None:
        message = f"invalid version {text!r}: local versions (+…) cannot be published"
        raise InvalidReferenceError(message)
    release = list(version.release)
    while len(release) > _RELEASE_PARTS and release[-1] == 0:
        release.pop()
    release += [0] * (_RELEASE_PARTS - len(release))
    epoch = f"{version.epoch}!" if version.epoch else ""
    suffix = str(version)[len(epoch + ".".join(map(str, version.release))) :]
    return epoch + ".".join(map(str, release)) + suffix


def canonical_constraint(text: str) -> str:
    """Check a range such as `~=1.2` or `>=1,<2` and sort its clauses.

    Raises:
        InvalidReferenceError: `packaging` cannot read it.
    """
    try:
        return str(SpecifierSet(text))
    except InvalidSpecifier:
        message = (
            f"invalid version range {text!r}: expected PEP 440 clauses such as"
            " ~=1.2 or >=1.0,<2"
        )
        raise InvalidReferenceError(message) from None


def pinned_version(constraint: str) -> str | None:
    """The one version that a range such as `==1.2` names; None where it may be several.

    As in PEP 592, whoever pins a version gets it though it was yanked.

    Raises:
        InvalidReferenceError: the range cannot be read.
    """
    clauses = list(SpecifierSet(canonical_constraint(constraint)))
    if len(clauses) != 1 or clauses[0].operator != "==":
        return None
    text = clauses[0].version
    return None if text.endswith(".*") or "+" in text else canonical_version(text)


def best_version(versions: Iterable[str], constraint: str | None = None) -> str | None:
    """The newest version a range allows, as `packaging` orders and filters them.

    Pre-releases count only when the range names one or nothing else matches.

    Returns:
        The version as spelled in `versions`; None when none matches.

    Raises:
        InvalidReferenceError: the range cannot be read.
    """
    allowed = SpecifierSet(canonical_constraint(constraint or ""))
    matching = allowed.filter(sorted(versions, key=Version, reverse=True))
    return next(iter(matching), None)
