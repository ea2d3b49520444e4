"""What a registry says of a version that people should know before they use it."""

from safegene.artifact.digest import Digest
from safegene_client.answers import ResolvedVersion
from safegene_client.problems import plain_text


def notices(resolved: ResolvedVersion) -> list[str]:
    """One sentence for each: a yank, a deprecation, an advisory."""
    found = []
    if resolved.yanked is not None:
        reason = plain_text(resolved.yanked.reason)
        found.append(f"{resolved.identity} was yanked: {reason}")
    deprecated = resolved.deprecated
    if deprecated is not None:
        about = resolved.identity
        if deprecated.of == "vector":
            about = f"{resolved.namespace}/{resolved.name}"
        text = f"{about} is deprecated: {plain_text(deprecated.message)}"
        if deprecated.successor is not None:
            text += f"; use {plain_text(deprecated.successor)}"
        found.append(text)
    return found + [
        f"{resolved.identity} has advisory {advisory.number}"
        f" ({plain_text(advisory.severity)}): {plain_text(advisory.summary)};"
        f" {mended(advisory.fixed_in)}"
        for advisory in resolved.advisories
    ]


def replaced(resolved: ResolvedVersion, known: Digest, url: str) -> str:
    """That a number means other bytes than it did, which no registry lets happen."""
    return (
        f"{resolved.identity} was pulled before as {known}, and {url} says that it is"
        f" {plain_text(resolved.digest)}: it is another registry, was restored from a"
        " backup, or lies; a reference by digest says which bytes are meant"
    )


def mended(version: str | None) -> str:
    """Where something is mended, for a sentence."""
    return f"fixed in {plain_text(version)}" if version else "no version mends it yet"
