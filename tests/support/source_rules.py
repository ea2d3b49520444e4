"""Rules about our own source that ruff cannot express, checked on syntax trees.

Each rule takes one parsed file and yields what breaks it. The text of a finding names
the place and what to do instead.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

FILE_LIMIT = 400
FUNCTION_LIMIT = 80

PICKLES = frozenset({"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"})
"""Modules that run code hidden in the data they read."""

STATEMENTS = frozenset({"delete", "insert", "select", "text", "update"})
"""What SQLAlchemy statements begin with."""


@dataclass(frozen=True)
class Source:
    """One file of ours: where it is, seen from the repository's root, and its text."""

    path: PurePosixPath
    text: str

    @property
    def tree(self) -> ast.Module:
        """The parsed file."""
        return ast.parse(self.text, filename=str(self.path))

    def at(self, node: ast.AST, what: str) -> str:
        """A finding with its place."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {what}"


Rule = Callable[[Source], Iterator[str]]


def commits_only_in_db(source: Source) -> Iterator[str]:
    """Transactions end in one place, so that no half of a change is ever kept."""
    if source.path.name == "db.py":
        return
    for call in _calls(source):
        if isinstance(call.func, ast.Attribute) and call.func.attr == "commit":
            yield source.at(call, "commit() outside db.py; use Database.writing")


REPOSITORIES = ("repositories.py", "_repository.py")
"""What the files with statements are called, or how their names end."""


def sql_only_in_repositories(source: Source) -> Iterator[str]:
    """Every statement of the registry stands in a repository."""
    path = str(source.path)
    if path.endswith(REPOSITORIES) or "safegene_registry" not in path:
        return
    for node, module in _imports(source):
        names = {alias.name for alias in node.names}
        if module.partition(".")[0] == "sqlalchemy" and names & STATEMENTS:
            yield source.at(node, "a statement outside a repository")


def vendor_clients_only_at_the_border(source: Source) -> Iterator[str]:
    """A vendor's client and its exceptions stop at the border."""
    if str(source.path).endswith("safegene_registry/s3/client.py"):
        return
    for node, module in _imports(source):
        if module.partition(".")[0] in {"boto3", "botocore"}:
            yield source.at(node, f"{module} outside s3/client.py")


def no_pickles(source: Source) -> Iterator[str]:
    """Nothing that we read may run code."""
    for node, module in _imports(source):
        if module.partition(".")[0] in PICKLES:
            yield source.at(node, f"{module} runs code from data; use safetensors")
    for call in _calls(source):
        if ast.unparse(call.func) == "torch.load":
            yield source.at(call, "torch.load reads pickles; use safetensors")


def shapes_stay_checkable(source: Source) -> Iterator[str]:
    """Postponed annotations would turn the run-time shape checks off in silence."""
    for node, module in _imports(source):
        names = {alias.name for alias in node.names}
        if module == "__future__" and "annotations" in names:
            yield source.at(node, "from __future__ import annotations")


def files_stay_small(source: Source) -> Iterator[str]:
    """A reader pays for every line."""
    lines = len(source.text.splitlines())
    if lines > FILE_LIMIT:
        yield f"{source.path}: {lines} lines, the limit is {FILE_LIMIT}; split it"


def functions_stay_small(source: Source) -> Iterator[str]:
    """A function fits on a screen; its docstring, which must be whole, is not counted.

    Decorators, which hold the options of a command, are not counted either.
    """
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = _height(node)
            if ast.get_docstring(node) is not None:
                lines -= _height(node.body[0])
            if lines > FUNCTION_LIMIT:
                yield source.at(
                    node, f"{node.name} has {lines} lines, the limit is 80; split it"
                )


RULES: tuple[Rule, ...] = (
    commits_only_in_db,
    sql_only_in_repositories,
    vendor_clients_only_at_the_border,
    no_pickles,
    shapes_stay_checkable,
    files_stay_small,
    functions_stay_small,
)


def _height(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _calls(source: Source) -> Iterator[ast.Call]:
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _imports(source: Source) -> Iterator[tuple[ast.Import | ast.ImportFrom, str]]:
    """Every import with the module it names."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, node.module or ""
