"""What the catalogs hold: the same mix at every size, drawn from a seed.

A block is 100 vectors with 1 000 versions, in two namespaces of which one in ten is
private. Families are as unlike in popularity as models are: a few have a large share of
all vectors, in every catalog.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

from safegene.artifact.architecture import Architecture, architecture_from_config

SEED = 6
FAMILIES = 5000
BLOCK = 1000
"""Versions."""

COUNTS = (400, *[100] * 2, *[20] * 7, *[3] * 80, *[2] * 10)
"""Versions of each vector of a block: 100 vectors, 1 000 versions."""

POPULAR = 3
"""Families that every block has some vectors of, and that are asked about."""

OF_EACH_POPULAR = 10
MODEL_TYPES = ("llama", "qwen2", "mistral", "qwen3", "olmo2")
LICENSES = ("Apache-2.0", "MIT")
RANKS = (16, 32)
FILES = ("README.md", "adapter_config.json", "adapter_model.safetensors")
LINEAGE = "lineage.safetensors"
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MANIFEST = b"{}"
"""Nothing that is measured reads manifests; real ones have some ten kilobytes."""

Row = tuple[Any, ...]


def family_config(number: int) -> dict[str, Any]:
    """The config of a family; the popular ones are Llamas."""
    model_type = "llama" if number < POPULAR else MODEL_TYPES[number % len(MODEL_TYPES)]
    return {
        "model_type": model_type,
        "hidden_size": 512 + 64 * (number % 125),
        "intermediate_size": 2048 + 128 * (number // 125),
        "num_hidden_layers": 12 + number % 21,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "head_dim": 64,
        "vocab_size": 32000,
    }


def unpublished_config(number: int) -> dict[str, Any]:
    """The config of a model that no family is the same as."""
    return {**family_config(number), "intermediate_size": 77 + number}


@dataclass
class Catalog:
    """The rows of all tables.

    Args:
        versions: how many; whole blocks.
    """

    versions: int
    draw: random.Random = field(default_factory=lambda: random.Random(SEED))  # noqa: S311
    used: dict[int, Architecture] = field(default_factory=dict)
    """Families that something was published for."""

    @cached_property
    def weights(self) -> list[float]:
        """How popular each family is."""
        return [1 / (rank + 1) for rank in range(FAMILIES)]

    def rows(self) -> Iterator[tuple[str, Row]]:
        """Table and row, in an order that refers to nothing that is not there yet.

        Of families, only those that are used have rows.
        """
        for block in range(self.versions // BLOCK):
            rooms = [f"team-{block:04}-{side}" for side in "ab"]
            for side, room in enumerate(rooms):
                hidden = side == 1 and block % 5 == 4  # noqa: PLR2004 - one in ten
                yield "namespaces", (room, "private" if hidden else "public", BEGIN)
            chosen = [
                *(at for at in range(POPULAR) for _ in range(OF_EACH_POPULAR)),
                *self.draw.choices(
                    range(FAMILIES),
                    self.weights,
                    k=len(COUNTS) - POPULAR * OF_EACH_POPULAR,
                ),
            ]
            # Vectors with many versions are of any family.
            self.draw.shuffle(chosen)
            for at, (count, family) in enumerate(zip(COUNTS, chosen, strict=True)):
                yield from self.vector(rooms[at % 2], f"guard-{at:03}", family, count)

    def vector(
        self, room: str, name: str, number: int, count: int
    ) -> Iterator[tuple[str, Row]]:
        """One vector with its versions and what they refer to."""
        family = self.used.get(number)
        if family is None:
            family = architecture_from_config(family_config(number))
            self.used[number] = family
            yield from self.family(number, family)
        key, at = self.key(), BEGIN + timedelta(seconds=self.draw.randrange(1 << 24))
        yield "vectors", (key, room, name, at)
        fingerprint = str(family.fingerprint)
        base, license_id = f"org/base-{number}", LICENSES[self.draw.randrange(2)]
        rank = RANKS[self.draw.randrange(2)]
        for index in range(count):
            version = self.key()
            at += timedelta(seconds=1)
            yield (
                "versions",
                (
                    *(version, key, version_number(index), self.digest(), MANIFEST),
                    *(f"Keeps {name} of {room} from harm.", license_id, base),
                    *("0" * 40, fingerprint, rank, 1 << 20, UUID(int=0), at),
                ),
            )
            for path in FILES:
                digest = self.digest()
                yield "blobs", (digest, 1 << 18)
                yield "files", (version, path, digest)
            yield "files", (version, LINEAGE, sketch_digest(number))
        yield (
            "heads",
            (
                *(key, fingerprint, version, count, at, False, room, name),
                *(family.model_type, family.layers, base, license_id, rank),
            ),
        )

    def family(self, number: int, family: Architecture) -> Iterator[tuple[str, Row]]:
        """A family, and its base model's sketch."""
        yield "blobs", (sketch_digest(number), 1 << 14)
        yield (
            "architectures",
            (
                *(str(family.fingerprint), family.model_type, family.hidden_size),
                *(family.layers, family.model_dump_json()),
            ),
        )

    def key(self) -> UUID:
        """A random key."""
        return UUID(int=self.draw.getrandbits(128))

    def digest(self) -> str:
        """A random digest."""
        return f"sha256:{self.draw.getrandbits(256):064x}"


def version_number(index: int) -> str:
    """Fifty of a major number."""
    return f"{1 + index // 50}.{index % 50}.0"


def sketch_digest(number: int) -> str:
    """Of a base model's lineage sketch, which its vectors share."""
    return f"sha256:{number:064x}"


COLUMNS = {
    "namespaces": ("name", "visibility", "created_at"),
    "architectures": (
        *("fingerprint", "model_type", "hidden_size", "layers", "document"),
    ),
    "vectors": ("id", "namespace", "name", "created_at"),
    "versions": (
        *("id", "vector_id", "version", "digest", "manifest", "description"),
        *("license", "base_model_id", "base_model_revision", "fingerprint", "rank"),
        *("size_bytes", "token_id", "published_at"),
    ),
    "blobs": ("digest", "size_bytes"),
    "files": ("version_id", "path", "digest"),
    "heads": (
        *("vector_id", "fingerprint", "version_id", "version_count", "published_at"),
        *("is_yanked", "namespace", "name", "model_type", "layers", "base_model_id"),
        *("license", "rank"),
    ),
}
"""What the rows of each table hold."""
