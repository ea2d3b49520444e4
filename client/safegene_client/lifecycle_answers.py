"""What a registry answers about the life cycle, as frozen models like `answers`."""

from typing import Generic, TypeVar

from safegene_client.answers import AdvisoryNote, Answer, Purge, Yank

Entry = TypeVar("Entry")


class Page(Answer, Generic[Entry]):
    """A page of a list."""

    items: tuple[Entry, ...]
    next_cursor: str | None = None


class PurgedVersion(Answer):
    """A version after its bytes were removed."""

    namespace: str
    name: str
    version: str
    digest: str
    purged: Purge
    kept: tuple[str, ...]
    """Digests of blobs that other versions name as well, which stay."""

    @property
    def identity(self) -> str:
        """`namespace/name@version`."""
        return f"{self.namespace}/{self.name}@{self.version}"


class AliasEntry(Answer):
    """An alias and the version that it points at."""

    alias: str
    version: str
    digest: str
    yanked: Yank | None = None
    """While the version is yanked, the alias means nothing."""
    protected: bool = False
    moved_at: str


class AliasMove(Answer):
    """One move of an alias, or its making or removal."""

    number: int
    from_version: str | None
    """None: there was no such alias."""
    to_version: str | None
    """None: it was removed."""
    at: str
    by: str | None
    """The account, for members of the namespace."""


class AliasRule(Answer):
    """Who may move a protected alias, beside owners."""

    alias: str
    vector: str | None
    """None: all vectors of the namespace that have no rule of their own."""
    movers: tuple[str, ...]


class Withdrawn(Answer):
    """Why and since when an advisory does not stand any more."""

    at: str
    reason: str


class Advisory(AdvisoryNote):
    """What is known to be wrong with some versions of a vector."""

    details: str
    published_at: str
    withdrawn: Withdrawn | None = None


AdvisoryPage = Page[Advisory]
AliasPage = Page[AliasEntry]
AliasMovePage = Page[AliasMove]
