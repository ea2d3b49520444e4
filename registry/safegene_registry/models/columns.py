"""Column types and checks that the tables share."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, String, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import TypeEngine

from safegene_registry.db import UtcDateTime


def key_text(length: int | None = None) -> TypeEngine[str]:
    """Text that is a key or part of one, compared byte by byte on every database.

    PostgreSQL would otherwise compare by the rules of a language, which an upgrade of
    the operating system can change under an index.
    """
    plain = Text() if length is None else String(length)
    bytewise = Text(collation="C") if length is None else String(length, collation="C")
    return plain.with_variant(bytewise, "postgresql")


DIGEST = key_text(71)
"""`sha256:` and 64 hexadecimal digits."""

PART = key_text(64)
"""A namespace, or the name of a vector within one."""

DOCUMENT = JSON().with_variant(JSONB(), "postgresql")
"""A small JSON object that SQL need not look into."""


def digest_check(column: str) -> CheckConstraint:
    """Database check that a column looks like a digest."""
    return CheckConstraint(
        f"length({column}) = 71 AND {column} LIKE 'sha256:%'", name=column
    )


def one_of(column: str, *values: str) -> CheckConstraint:
    """Database check that a column holds one of a few words."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


def created_now() -> MappedColumn[datetime]:
    """When the row was made, by the database's clock."""
    return mapped_column(UtcDateTime, server_default=func.current_timestamp())
