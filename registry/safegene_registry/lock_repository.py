"""Locks that transactions take on names, and rows that several of them may insert.

SQLite has one write transaction at a time: there is nothing to lock. On PostgreSQL,
names are locked rather than rows, since the rows in question may not exist yet. Locks
end with their transaction, whichever way that ends.

Everybody takes them in one order, so that nobody waits in a circle: an upload's row,
blobs (all at once, sorted), a vector, a token's row, a namespace's row and its quota,
and only then are rows inserted, sorted as well.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, func, select, type_coerce
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import InstrumentedAttribute, Session

from safegene.artifact.reference import VectorName


def lock_vector(session: Session, vector: VectorName) -> None:
    """Keep other publishers of this vector out."""
    take_locks(session, [f"vector {vector}"], shared=False)


def lock_blobs(session: Session, digests: Iterable[str]) -> None:
    """Keep these blobs from being removed; others may do so at the same time."""
    take_locks(session, [f"blob {digest}" for digest in digests], shared=True)


def lock_blobs_alone(session: Session, digests: Iterable[str]) -> None:
    """Wait until nobody is publishing a version with these blobs, and keep it so."""
    take_locks(session, [f"blob {digest}" for digest in digests], shared=False)


def lock_quota(session: Session, namespace: str) -> None:
    """Keep others out who look whether a namespace has room; it need not exist yet."""
    take_locks(session, [f"quota {namespace}"], shared=False)


def lock_first_token(session: Session) -> None:
    """Keep others from making a first token as well."""
    take_locks(session, ["first token"], shared=False)


def take_locks(session: Session, names: Iterable[str], *, shared: bool) -> None:
    """Lock every name, in one statement and always in the same order."""
    if not on_postgresql(session):
        return
    lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
    keys = sorted({key_of(name) for name in names})
    key = func.unnest(type_coerce(keys, ARRAY(BigInteger))).column_valued("key")
    session.execute(select(lock(key)))


def key_of(name: str) -> int:
    """What PostgreSQL knows a name as: 64 bits, which for these purposes are unique.

    Two names with one key would only wait for each other without need.
    """
    return int.from_bytes(sha256(name.encode()).digest()[:8], "big", signed=True)


def insert_missing(
    session: Session,
    key: InstrumentedAttribute[str],
    rows: Mapping[str, Mapping[str, Any]],
) -> int:
    """Insert the rows that are not there yet; another transaction may do so as well.

    On PostgreSQL it is waited for, and inserting in the order of the keys keeps two of
    them from waiting for each other.

    Args:
        session: of the transaction.
        key: a unique column of the table.
        rows: the other columns, by key.

    Returns:
        How many were inserted here.
    """
    present = set(session.scalars(select(key).where(key.in_(list(rows)))))
    missing = [
        {key.key: value, **rows[value]}
        for value in sorted(rows)
        if value not in present
    ]
    if not missing:
        return 0
    insert = postgresql.insert if on_postgresql(session) else sqlite.insert
    statement = insert(key.class_).on_conflict_do_nothing().returning(key)
    return len(session.scalars(statement, missing).all())


def on_postgresql(session: Session) -> bool:
    """Whether several transactions may write at once."""
    return session.get_bind().dialect.name == "postgresql"
