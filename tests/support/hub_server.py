"""A server that speaks the Hugging Face Hub's protocol, as far as downloads need it.

The real client of the Hub talks to it: `HF_ENDPOINT` names it. Repositories are made of
directories; every state of one is a commit, and branches and tags name commits.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from support.scripted_server import (
    Got,
    Reply,
    ScriptedServer,
    file_reply,
    json_reply,
    scripted_server,
)

LARGE = ".safetensors"
"""What is kept by its SHA-256, as large files are on the Hub."""
_API = re.compile(r"/api/models/([^/]+/[^/]+)/(revision|tree)/([^/]+)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")

Tree = dict[str, bytes]


class Hub:
    """Answers by the repositories that were put into it.

    Source:
        huggingface_hub 2.4, `_snapshot_download.py` and `file_download.py`: a snapshot
        is one revision, one tree, and a HEAD and a GET of every file.
    """

    def __init__(self) -> None:
        self._trees: dict[str, dict[str, Tree]] = {}
        self._names: dict[str, dict[str, str]] = {}
        self.closed: set[str] = set()
        """Repositories that are there for others only."""

    def put(self, repository: str, directory: Path, *, name: str = "main") -> str:
        """Make the files of a directory a commit, which `name` stands for from now on.

        Args:
            repository: such as `acme/lora`.
            directory: files and folders.
            name: a branch or a tag.

        Returns:
            The commit.
        """
        tree = {
            path.relative_to(directory).as_posix(): path.read_bytes()
            for path in sorted(directory.rglob("*"))
            if path.is_file()
        }
        digests = "".join(f"{path} {_git_id(data)}" for path, data in tree.items())
        commit = hashlib.sha1(digests.encode()).hexdigest()
        self._trees.setdefault(repository, {})[commit] = tree
        self._names.setdefault(repository, {})[name] = commit
        return commit

    def commit(self, repository: str, name: str = "main") -> str:
        """The commit that a branch or a tag stands for."""
        return self._names[repository][name]

    def __call__(self, got: Got) -> Reply:
        if found := _FILE.fullmatch(got.path):
            place = self._place(found[1], unquote(found[2]))
            if isinstance(place, Reply):
                return place
            commit, tree = place
            return _file(got, commit, tree.get(unquote(found[3])))
        if found := _API.fullmatch(got.path):
            place = self._place(found[1], unquote(found[3]))
            if isinstance(place, Reply):
                return place
            commit, tree = place
            return _described(found[1], commit, tree, listed=found[2] == "tree")
        return _error(404, "NotImplemented", f"nothing at {got.path}")

    def _place(self, repository: str, revision: str) -> tuple[str, Tree] | Reply:
        """The commit that a revision stands for and its files, or a refusal."""
        if repository not in self._trees:
            return _error(404, "RepoNotFound", "Repository not found")
        if repository in self.closed:
            return _error(403, "GatedRepo", "Access to the model is restricted")
        commit = self._names[repository].get(revision, revision)
        if commit not in self._trees[repository]:
            return _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit, self._trees[repository][commit]


@contextmanager
def hub_server(hub: Hub) -> Iterator[ScriptedServer]:
    """Serve a hub for the length of the block; `requests` has what was asked."""
    with scripted_server(hub) as server:
        yield server


def _file(got: Got, commit: str, data: bytes | None) -> Reply:
    if data is None:
        missing = _error(404, "EntryNotFound", "Entry not found")
        return replace(missing, headers=missing.headers | {"X-Repo-Commit": commit})
    tag = _sha256(data) if got.path.endswith(LARGE) else _git_id(data)
    headers = {"X-Repo-Commit": commit, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
    if got.method == "HEAD":
        return Reply(200, b"", headers | {"Content-Length": str(len(data))})
    found = file_reply(got, data)
    return replace(found, headers=found.headers | headers)


def _described(repository: str, commit: str, tree: Tree, *, listed: bool) -> Reply:
    if listed:
        return json_reply([_entry(path, data) for path, data in tree.items()])
    siblings = [{"rfilename": path, "size": len(data)} for path, data in tree.items()]
    return json_reply({"id": repository, "sha": commit, "siblings": siblings})


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(data), "oid": _git_id(data)}
    if path.endswith(LARGE):
        large = {"oid": _sha256(data), "size": len(data), "pointerSize": 134}
        return entry | {"lfs": large}
    return entry


def _error(status: int, code: str, message: str) -> Reply:
    found = json_reply({"error": message}, status)
    told = {"X-Error-Code": code, "X-Error-Message": message}
    return replace(found, headers=found.headers | told)


def _git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
