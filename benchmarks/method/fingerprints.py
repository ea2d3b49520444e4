"""Digests of the code a result depends on: what it does, not how it is explained."""

import ast
from pathlib import Path

from benchmarks.harness import ROOT
from safegene.artifact.digest import digest_bytes


def code_digest(*places: str | Path) -> str:
    """Digest of the Python code at or below places of the checkout.

    Comments, docstrings and layout do not count, so a mended sentence costs no
    measurement.
    """
    files = sorted(
        file
        for place in map(Path, places)
        for file in _files(place if place.is_absolute() else ROOT / place)
    )
    listing = "\n".join(f"{file.name}\n{bare(file.read_text())}" for file in files)
    return str(digest_bytes(listing.encode()))


def bare(source: str) -> str:
    """The code without comments and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            kept = [part for part in body if not _is_text(part)]
            node.body = kept or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else list(place.rglob("*.py"))
