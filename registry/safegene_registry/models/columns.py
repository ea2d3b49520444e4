"""Column types and checks that the tables share."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, String, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import MappedColumn, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from safegene_registry.db import UtcDateTime


class StoredText(TypeDecorator[str]):
    """Text that every database can hold and compares as it should.

    PostgreSQL cannot hold the character NUL: it becomes U+FFFD, in what is stored and
    in what is looked for.

    Args:
        length: at most so many characters.
        bytewise: compare byte by byte, as SQLite does. PostgreSQL would compare by the
            rules of a language, which an upgrade of the operating system can change
            under an index. For keys.
    """

    impl = Text
    cache_ok = True

    def __init__(self, length: int | None = None, *, bytewise: bool = False) -> None:
        super().__init__()
        self.length = length
        self.bytewise = bytewise

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The database's type."""
        on_postgresql = dialect.name == "postgresql"
        collation = "C" if self.bytewise and on_postgresql else None
        kind = Text if self.length is None else String
        return kind(self.length, collation=collation)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Store what can be stored."""
        del dialect
        return (
            None
            if value is None
            else value.replace("\x00", "\N{REPLACEMENT CHARACTER}")
        )


def key_text(length: int | None = None) -> StoredText:
    """Text that is a key or part of one."""
    return StoredText(length, bytewise=True)


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
