"""PostgreSQL, the database that several replicas share.

No wait is without an end: for a connection, for a lock, for a statement, for a server
that has vanished. Whatever ends one is told to the caller as a problem to retry.
"""

import select
from typing import Any

import psycopg
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.exc import ArgumentError, InvalidatePoolError
from sqlalchemy.pool import NullPool

DRIVER = "postgresql+psycopg"

STATEMENT_SECONDS = 30
"""Longest statement of a request."""

LOCK_SECONDS = 20
"""How long a statement waits for another transaction's lock.

Fifty publishers of one version wait for each other in a row.
"""

IDLE_SECONDS = 60
"""How long a transaction may wait for us, as when the blob store is slow to answer.

After it the server ends the transaction and its locks, whatever has become of us.
"""

CONNECT_SECONDS = 5
"""How long opening a connection may take."""

RECYCLE_SECONDS = 1800
"""Age at which a connection is replaced, so that load spreads after a failover."""

NETWORK = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 1000 * STATEMENT_SECONDS,
}
"""Of libpq: a server that vanishes without a word is noticed within half a minute."""

PASSING_CLASSES = frozenset({"08", "40", "53", "57", "58"})
"""Classes of SQLSTATE about the server rather than the statement: its connections,
rolled back by a deadlock, its resources, its operator, its disk."""

PASSING = frozenset({"25006", "25P03", "55P03"})
"""Further SQLSTATEs: a server that only reads, as a standby does until it is promoted;
an idle transaction that was ended; a lock that was waited for too long."""


def postgresql_url(text: str) -> URL:
    """Read an operator's URL.

    Raises:
        ValueError: it is not one; the message does not repeat it, for its password.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        url = None
    if (
        url is None
        or url.drivername not in {"postgres", "postgresql", DRIVER}
        or not url.database
    ):
        message = "expected a URL like postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        raise ValueError(message)
    return url.set(drivername=DRIVER)


def place(url: URL) -> str:
    """The URL for people: where, but neither who nor with which password."""
    host = url.query.get("host", url.host) or "localhost"
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{host}{port}/{url.database}"


def postgresql_engine(url: URL, *, connections: int) -> Engine:
    """An engine for requests.

    Args:
        url: as `postgresql_url` gives it.
        connections: that may be open at once.
    """
    limits = {
        "statement_timeout": STATEMENT_SECONDS,
        "lock_timeout": LOCK_SECONDS,
        "idle_in_transaction_session_timeout": IDLE_SECONDS,
    }
    options = " ".join(f"-c {name}={1000 * value}" for name, value in limits.items())
    engine = create_engine(
        with_options(url, options),
        pool_size=connections,
        max_overflow=0,
        # Those used last first, so that the server can forget the others.
        pool_use_lifo=True,
        pool_recycle=RECYCLE_SECONDS,
        connect_args=with_defaults(url, "safegene-registry"),
    )
    event.listen(engine, "checkout", refuse_closed)
    return engine


def migration_engine(url: URL) -> Engine:
    """An engine for migrations, which set time-outs of their own."""
    return create_engine(
        url,
        poolclass=NullPool,
        connect_args=with_defaults(url, "safegene-registry migrate"),
    )


def with_options(url: URL, options: str) -> URL:
    """Settings of the session, before those of the operator, which so prevail."""
    own = url.query.get("options", "")
    return url.update_query_dict({"options": f"{options} {own}".strip()})


def with_defaults(url: URL, application: str) -> dict[str, Any]:
    """What the driver is told besides the URL, where that says nothing else."""
    chosen = {**NETWORK, "application_name": application}
    return {name: value for name, value in chosen.items() if name not in url.query}


def refuse_closed(
    connection: psycopg.Connection[Any], _record: object, _fairy: object
) -> None:
    """Find out without asking the server whether it has closed a pooled connection.

    Nothing was asked, so anything to read is the server's farewell, or a notice. A
    query that asks costs a round trip before every request.

    Raises:
        InvalidatePoolError: it has; all the others are likely closed as well.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    try:
        while poll.poll(0):
            connection.pgconn.consume_input()
    except psycopg.Error as error:
        raise InvalidatePoolError(str(error)) from error


def is_passing(error: Any) -> bool:
    """Whether a driver error is about the server rather than about the statement."""
    if not isinstance(error, psycopg.Error):
        return False
    state = error.sqlstate
    if state is None:
        # The driver's own: it did not get through, or the connection is gone.
        return isinstance(error, psycopg.OperationalError)
    return state[:2] in PASSING_CLASSES or state in PASSING
