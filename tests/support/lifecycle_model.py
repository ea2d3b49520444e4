"""The rules of a vector's life in a few lines, to hold a registry against.

`Model` knows what was published, yanked, deprecated, purged and pointed at, and says
what each request is answered with. It shares no code with the registry but `packaging`.
"""

from dataclasses import dataclass, field

from packaging.specifiers import SpecifierSet
from packaging.version import Version

DONE = (200, 201, 204)
NOTHING = "*"
"""In the place of what an alias is expected to point at: that does not matter."""


@dataclass
class Published:
    """A version."""

    content: int
    """Which of some contents it has; versions may share one."""
    yank: str | None = None
    message: str | None = None
    """Of its deprecation."""
    is_purged: bool = False


@dataclass
class Model:
    """One vector."""

    versions: dict[str, Published] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    moves: dict[str, list[tuple[str | None, str | None]]] = field(default_factory=dict)
    message: str | None = None
    """Of the vector's deprecation."""

    # What is done

    def publish(self, version: str, content: int) -> int:
        known = self.versions.get(version)
        if known is None:
            self.versions[version] = Published(content)
            return 201
        if known.is_purged:
            return 410
        return 200 if known.content == content else 409

    def yank(self, version: str, reason: str | None) -> int:
        status = self.exact(version)
        if status == 200:
            self.versions[version].yank = reason
        return status

    def deprecate(self, version: str | None, message: str | None) -> int:
        status = self.exact(version) if version else 200 if self.versions else 404
        if status == 200 and version:
            self.versions[version].message = message
        elif status == 200:
            self.message = message
        return status if message or status != 200 else 204

    def purge(self, version: str, reason: str) -> int:
        known = self.versions.get(version)
        if known is None:
            return 404
        if not known.is_purged:
            known.is_purged = True
            known.yank = known.yank or f"purged: {reason}"
            for alias in [name for name, v in self.aliases.items() if v == version]:
                self.point(alias, None)
        return 200

    def move(self, alias: str, version: str, expected: str | None) -> int:
        status = self.exact(version)
        if status != 200:
            return status
        if self.versions[version].yank is not None:
            return 409
        if expected not in (NOTHING, self.aliases.get(alias)):
            return 412
        if self.aliases.get(alias) != version:
            self.point(alias, version)
        return 200

    def remove(self, alias: str, expected: str) -> int:
        if alias not in self.aliases:
            return 404
        if expected not in (NOTHING, self.aliases[alias]):
            return 412
        self.point(alias, None)
        return 204

    def point(self, alias: str, version: str | None) -> None:
        before = self.aliases.pop(alias, None)
        if version is not None:
            self.aliases[alias] = version
        self.moves.setdefault(alias, []).insert(0, (before, version))

    # What is asked

    def exact(self, version: str) -> int:
        known = self.versions.get(version)
        return 404 if known is None else 410 if known.is_purged else 200

    def aliased(self, alias: str) -> str | int:
        version = self.aliases.get(alias)
        if version is None or self.versions[version].yank is not None:
            return 404
        return version

    def ranged(self, constraint: str) -> str | int:
        standing = [v for v, known in self.versions.items() if known.yank is None]
        ordered = sorted(standing, key=Version, reverse=True)
        best = next(iter(SpecifierSet(constraint).filter(ordered)), None)
        if best is not None:
            return best
        clauses = list(SpecifierSet(constraint))
        if len(clauses) == 1 and clauses[0].operator == "==":
            pinned = clauses[0].version
            status = self.exact(pinned)
            return pinned if status == 200 else status
        return 404

    def said(self, version: str) -> tuple[str | None, str | None]:
        """Why a version is yanked, and why it should not be used."""
        known = self.versions[version]
        return known.yank, known.message or self.message

    def lives(self, content: int) -> bool:
        """Whether a version that was not purged has a content."""
        return any(
            known.content == content and not known.is_purged
            for known in self.versions.values()
        )
