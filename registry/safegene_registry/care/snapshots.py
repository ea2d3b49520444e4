"""What a backup looks like on disk.

    DIR/snapshots/<time>/backup.json        what it is, written last
    DIR/snapshots/<time>/tables/NAME.jsonl  a row a line, in the order of the key
    DIR/blobs/sha256/<aa>/<hex>             the blobs of all snapshots

The blobs lie as in the registry's own directory, so that a backup's can be taken with
`cp` if need be.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

FORMAT = 1
DOCUMENT = "backup.json"
SNAPSHOTS = "snapshots"
TABLES = "tables"


class BackupError(Exception):
    """A backup cannot be made, or is none, or is not whole."""


@dataclass(frozen=True, slots=True)
class TableFile:
    """The rows of one table."""

    name: str
    rows: int
    digest: str
    """sha256 of the file, in hexadecimal."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the catalog."""

    path: Path
    schema: str
    """Revision of the tables."""
    taken_at: str
    tables: tuple[TableFile, ...]
    damaged: tuple[str, ...]
    """Blobs that versions name and the registry did not hold rightly."""

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of a table."""
        with (self.path / TABLES / f"{table}.jsonl").open("rb") as lines:
            for line in lines:
                yield json.loads(line)

    def check(self) -> None:
        """Make sure that every table is as it was written.

        Raises:
            BackupError: one is not.
        """
        for table in self.tables:
            path = self.path / TABLES / f"{table.name}.jsonl"
            try:
                with path.open("rb") as file:
                    found = digest_of(file)
            except FileNotFoundError:
                found = "no file"
            if found != table.digest:
                message = (
                    f"{path}: expected sha256 {table.digest}, got {found};"
                    " restore from another snapshot"
                )
                raise BackupError(message)


def digest_of(chunks: Iterable[bytes]) -> str:
    """The sha256 of some bytes, in hexadecimal."""
    found = sha256()
    for chunk in chunks:
        found.update(chunk)
    return found.hexdigest()


def write_table(place: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> TableFile:
    """Write the rows of a table."""
    digest, count = sha256(), 0
    folder = place / TABLES
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.jsonl").open("xb") as file:
        for row in rows:
            line = json.dumps(row, sort_keys=True, separators=(",", ":")).encode()
            digest.update(line + b"\n")
            file.write(line + b"\n")
            count += 1
        flush(file.fileno(), file)
    return TableFile(name, count, digest.hexdigest())


def write_document(place: Path, snapshot: Snapshot) -> None:
    """Write what a snapshot is; with it, the snapshot is whole."""
    document = {
        "format": FORMAT,
        "schema": snapshot.schema,
        "taken_at": snapshot.taken_at,
        "tables": [
            {"name": table.name, "rows": table.rows, "sha256": table.digest}
            for table in snapshot.tables
        ],
        "damaged": list(snapshot.damaged),
    }
    with (place / DOCUMENT).open("xb") as file:
        file.write(json.dumps(document, indent=2).encode() + b"\n")
        flush(file.fileno(), file)


def flush(descriptor: int, file: Any) -> None:
    """Have a file on the disk."""
    file.flush()
    os.fsync(descriptor)


def find_snapshot(directory: Path, name: str | None = None) -> Snapshot:
    """A snapshot of a backup.

    Args:
        directory: of the backup.
        name: of the snapshot; None: the newest.

    Raises:
        BackupError: there is none, or it is not one that this release reads.
    """
    places = sorted(
        place.parent
        for place in (directory / SNAPSHOTS).glob(f"*/{DOCUMENT}")
        if not place.parent.name.endswith(".part")
    )
    chosen = [place for place in places if name in (None, place.name)]
    if not chosen:
        there = ", ".join(place.name for place in places) or "none"
        wanted = "a snapshot" if name is None else f"the snapshot {name}"
        message = f"{directory}: expected {wanted} of `backup`, it has {there}"
        raise BackupError(message)
    return read_document(chosen[-1])


def read_document(place: Path) -> Snapshot:
    """Read what a snapshot is.

    Raises:
        BackupError: it is not one that this release reads.
    """
    try:
        found = json.loads((place / DOCUMENT).read_bytes())
        if found["format"] != FORMAT:
            message = (
                f"{place}: this release reads format {FORMAT}, got {found['format']};"
                " restore with the release that made it"
            )
            raise BackupError(message)
        tables = tuple(
            TableFile(each["name"], each["rows"], each["sha256"])
            for each in found["tables"]
        )
        schema, taken_at = found["schema"], found["taken_at"]
        return Snapshot(place, schema, taken_at, tables, tuple(found["damaged"]))
    except (ValueError, KeyError, TypeError) as error:
        message = f"{place / DOCUMENT}: expected what `backup` writes; it is damaged"
        raise BackupError(message) from error
