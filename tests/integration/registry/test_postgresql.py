"""PostgreSQL that restarts, is slow or not there: problems to retry, nothing else."""

import threading
import time

import psycopg
import pytest
from safegene_registry.db import Database
from safegene_registry.lock_repository import lock_blobs
from safegene_registry.lookups import Lookup
from safegene_registry.migrate import MigrationError
from safegene_registry.postgresql import is_passing, postgresql_url
from safegene_registry.problems import ProblemError
from safegene_registry.server import prepare_data
from safegene_registry.settings import Settings
from sqlalchemy import bindparam, func, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

SECONDS = 60

ECHO = Lookup(select(bindparam("word"), func.pg_backend_pid()), tuple)
SUICIDE = Lookup(select(func.pg_terminate_backend(func.pg_backend_pid())), tuple)


@pytest.fixture
def database(postgres_url):
    database = Database(postgresql_url(postgres_url))
    yield database
    database.dispose()


def with_options(url: str, options: str) -> Database:
    return Database(postgresql_url(url).update_query_dict({"options": options}))


def terminate_all(database: Database) -> int:
    """What a restart does to every connection but this one; how many there were."""
    query = text(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = Database(database.url)
    with other.engine.connect() as connection:
        count = connection.scalar(query)
    other.dispose()
    return count


def is_to_be_retried(problem: ProblemError) -> bool:
    return (
        problem.kind.slug == "storage-unavailable"
        and int(problem.headers["Retry-After"]) > 0
    )


def test_a_session_has_limits_and_a_name(database):
    with database.reading() as session:
        found = {
            name: session.scalar(text(f"SHOW {name}"))
            for name in (
                *("statement_timeout", "lock_timeout", "application_name"),
                *("idle_in_transaction_session_timeout", "transaction_isolation"),
                "transaction_read_only",
            )
        }
    with database.writing() as session:
        writing = session.scalar(text("SHOW transaction_read_only"))

    assert found == {
        "statement_timeout": "30s",
        "lock_timeout": "20s",
        "application_name": "safegene-registry",
        "idle_in_transaction_session_timeout": "1min",
        "transaction_isolation": "repeatable read",
        "transaction_read_only": "on",
    }
    assert writing == "off"


def test_what_the_operator_says_prevails(postgres_url):
    database = with_options(postgres_url, "-c lock_timeout=1234 -c work_mem=1MB")

    with database.reading() as session:
        found = [
            session.scalar(text(f"SHOW {name}"))
            for name in ("lock_timeout", "work_mem", "statement_timeout")
        ]
    database.dispose()

    assert found == ["1234ms", "1MB", "30s"]


def test_reading_sees_one_state_whatever_is_committed_meanwhile(database):
    with database.writing() as session:
        session.execute(text("CREATE TABLE numbers (number int)"))

    with database.reading() as reader:
        before = reader.scalar(text("SELECT count(*) FROM numbers"))
        with database.writing() as writer:
            writer.execute(text("INSERT INTO numbers VALUES (1)"))
        meanwhile = reader.scalar(text("SELECT count(*) FROM numbers"))
    with database.reading() as reader:
        after = reader.scalar(text("SELECT count(*) FROM numbers"))

    assert (before, meanwhile, after) == (0, 0, 1)


def test_connections_closed_while_idle_are_replaced_without_a_word(database):
    """As after a restart: nobody gets an error, however many connections there were."""
    sessions = [database.reading() for _ in range(5)]
    for session in sessions:
        session.__enter__().execute(text("SELECT 1"))
    for session in sessions:
        session.__exit__(None, None, None)

    closed = terminate_all(database)
    time.sleep(0.2)
    for _ in range(10):
        with database.reading() as session:
            assert session.scalar(text("SELECT 1")) == 1

    assert closed == 5


def test_a_connection_closed_in_a_transaction_is_a_problem_to_retry(database):
    def write() -> None:
        with database.writing() as session:
            session.execute(text("SELECT 1"))
            terminate_all(database)
            session.execute(text("SELECT 1"))

    with pytest.raises(ProblemError) as caught:
        write()

    assert is_to_be_retried(caught.value)
    with database.writing() as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_lookup_leaves_its_connection_as_it_was(database):
    def write() -> None:
        with database.writing() as session:
            session.execute(text("CREATE TABLE taken_back (number int)"))
            raise LookupError

    with database.reading() as session:
        process = session.scalar(text("SELECT pg_backend_pid()"))

    assert database.look_up(ECHO, {"word": "it's 5 %"}) == [("it's 5 %", process)]
    with pytest.raises(LookupError):
        write()
    with database.reading() as session:
        assert session.scalar(text("SELECT to_regclass('taken_back')")) is None
        assert session.scalar(text("SHOW transaction_isolation")) == "repeatable read"


def test_a_lookup_does_not_notice_that_idle_connections_were_closed(database):
    ((_, before),) = database.look_up(ECHO, {"word": "one"})

    terminate_all(database)
    time.sleep(0.2)
    ((word, after),) = database.look_up(ECHO, {"word": "two"})

    assert word == "two"
    assert after != before


def test_a_lookup_that_is_cut_off_is_a_problem_to_retry_and_leaves_nothing(database):
    ((_, before),) = database.look_up(ECHO, {"word": "once"})

    with pytest.raises(ProblemError) as caught:
        database.look_up(SUICIDE, {})

    ((word, after),) = database.look_up(ECHO, {"word": "again"})
    assert is_to_be_retried(caught.value)
    assert word == "again"
    assert after != before
    assert database.engine.pool.checkedout() == 0


def test_a_statement_that_takes_too_long_is_a_problem_to_retry(postgres_url):
    database = with_options(postgres_url, "-c statement_timeout=50")

    with pytest.raises(ProblemError) as caught, database.reading() as session:
        session.execute(text("SELECT pg_sleep(20)"))
    database.dispose()

    assert is_to_be_retried(caught.value)


def test_a_lock_waited_for_too_long_is_a_problem_to_retry(postgres_url):
    database = with_options(postgres_url, "-c lock_timeout=50")

    with database.writing() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(1)"))
        with pytest.raises(ProblemError) as caught, database.writing() as other:
            other.execute(text("SELECT pg_advisory_xact_lock(1)"))
    database.dispose()

    assert is_to_be_retried(caught.value)


def test_an_idle_transaction_that_was_ended_is_a_problem_to_retry(postgres_url):
    options = "-c idle_in_transaction_session_timeout=50"
    database = with_options(postgres_url, options)

    def idle() -> None:
        with database.writing() as session:
            session.execute(text("SELECT 1"))
            time.sleep(0.5)
            session.execute(text("SELECT 1"))

    with pytest.raises(ProblemError) as caught:
        idle()
    database.dispose()

    assert is_to_be_retried(caught.value)


def test_of_a_deadlock_one_is_a_problem_to_retry(database):
    met = threading.Barrier(2)
    caught: list[ProblemError] = []

    def lock_both(first: int, second: int) -> None:
        try:
            with database.writing() as session:
                session.execute(text(f"SELECT pg_advisory_xact_lock({first})"))
                met.wait()
                session.execute(text(f"SELECT pg_advisory_xact_lock({second})"))
        except ProblemError as problem:
            caught.append(problem)

    threads = [
        threading.Thread(target=lock_both, args=pair) for pair in ((1, 2), (2, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [is_to_be_retried(problem) for problem in caught] == [True]


def test_no_server_is_a_problem_to_retry():
    database = Database(postgresql_url("postgresql://gene:secret@127.0.0.1:1/gene"))

    with pytest.raises(ProblemError) as caught, database.reading() as session:
        session.execute(text("SELECT 1"))
    with pytest.raises(ProblemError) as looked_up:
        database.look_up(ECHO, {"word": "none"})

    for problem in (caught.value, looked_up.value):
        assert is_to_be_retried(problem)
        assert "secret" not in problem.detail


@pytest.mark.parametrize(
    ("state", "passing"),
    [
        pytest.param("08006", True, id="connection failure"),
        pytest.param("25006", True, id="a standby"),
        pytest.param("40001", True, id="serialization failure"),
        pytest.param("40P01", True, id="deadlock"),
        pytest.param("53100", True, id="disk full"),
        pytest.param("53300", True, id="too many connections"),
        pytest.param("55P03", True, id="lock not available"),
        pytest.param("57014", True, id="query cancelled"),
        pytest.param("57P01", True, id="shutting down"),
        pytest.param("57P03", True, id="starting up"),
        pytest.param("58030", True, id="disk error"),
        pytest.param("22P02", False, id="malformed value"),
        pytest.param("23505", False, id="unique violation"),
        pytest.param("42601", False, id="syntax error"),
        pytest.param("XX000", False, id="bug of the server"),
    ],
)
def test_errors_about_the_server_can_be_retried_those_of_a_statement_not(
    database, state, passing
):
    with (
        pytest.raises(ProblemError if passing else DBAPIError) as caught,
        database.writing() as session,
    ):
        session.execute(text(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$"))

    assert not passing or is_to_be_retried(caught.value)


def test_a_broken_rule_stays_what_it_is(database):
    with database.writing() as session:
        session.execute(text("CREATE TABLE unequal (number int UNIQUE)"))

    with pytest.raises(IntegrityError), database.writing() as session:
        session.execute(text("INSERT INTO unequal VALUES (1), (1)"))


def test_an_exhausted_pool_is_a_problem_to_retry(database):
    def give_up() -> None:
        with database.reading():
            raise PoolTimeoutError

    with pytest.raises(ProblemError) as caught:
        give_up()

    assert is_to_be_retried(caught.value)
    assert not is_passing(ValueError("something else"))


def test_publications_that_share_blobs_do_not_wait_for_each_other(database):
    names = ["sha256:" + "a" * 64, "sha256:" + "b" * 64]

    with database.writing() as one, database.writing() as two:
        lock_blobs(one, names)
        lock_blobs(two, names[::-1])
        query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        found = two.scalar(query)

    assert found == 4


def test_a_connection_in_use_is_closed_once_it_is_not(database):
    """As of a thread that nobody waited for at the end."""
    with database.reading() as session:
        in_use = session.connection().connection.driver_connection
        database.dispose()
        still = session.scalar(text("SELECT 1"))
        open_meanwhile = not in_use.closed

    assert (still, open_meanwhile, in_use.closed) == (1, True, True)


@pytest.mark.parametrize("kind", ["reading", "looking up", "writing"])
def test_nothing_is_connected_after_the_end(database, kind):
    def begin() -> None:
        if kind == "looking up":
            database.look_up(ECHO, {"word": "late"})
        else:
            getattr(database, kind)().__enter__()

    database.dispose()

    with pytest.raises(ProblemError) as refused:
        begin()

    assert is_to_be_retried(refused.value)
    assert database.engine.pool.checkedin() == database.engine.pool.checkedout() == 0


def others(url: str) -> int:
    """How many programs are connected to a database."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database() AND backend_type = 'client backend'"
        ).fetchone()
    assert found is not None
    return found[0]


def test_a_database_that_is_refused_is_let_go(postgres_url, tmp_path):
    """Its schema was never made."""
    settings = Settings(data=tmp_path, database_url=postgres_url)

    with pytest.raises(MigrationError, match="run `safegene-registry migrate` first"):
        prepare_data(settings)

    deadline = time.monotonic() + SECONDS
    while others(postgres_url):  # the server needs a moment to see it
        assert time.monotonic() < deadline
        time.sleep(0.02)
