"""`audit verify` finds whatever is done to a chain behind the registry's back.

Damage is planted the way an attacker with the database's password would: the triggers
go first. All of it happens in a transaction that is rolled back.
"""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from safegene_registry.access import Visibility
from safegene_registry.events.auditing import audit, link_of
from safegene_registry.events.event_repository import list_events
from safegene_registry.events.kinds import Kind
from safegene_registry.events.recording import record
from safegene_registry.membership import create_namespace
from safegene_registry.tokens import user_account
from sqlalchemy import text
from support.backends import environment_of
from support.registry_app import app_registry

EVENTS = 7
"""In the chain `acme`; the first is that the namespace was made."""

OTHER = "sha256:" + "0" * 64


def fill(registry, namespace):
    with registry.services.database.writing() as session:
        owner = user_account(session, "ann", operator=False, by="tests")
        create_namespace(
            session,
            namespace,
            owner=owner,
            visibility=Visibility.PUBLIC,
            quota_bytes=None,
            by="tests",
        )
    for number in range(EVENTS - 1):
        with registry.services.database.writing() as session:
            record(session, namespace, Kind.QUOTA_CHANGED, by="tests", n=number)


@pytest.fixture(scope="module")
def registry(tmp_path_factory, module_parts):
    root = tmp_path_factory.mktemp("audited")
    with app_registry(root / "data", **module_parts) as running:
        fill(running, "acme")
        fill(running, "other")
        yield running


class PlantedError(Exception):
    """Ends a transaction without a trace."""


@contextmanager
def without_triggers(registry):
    """A transaction in which events can be changed, and of which nothing is kept."""
    try:
        with registry.services.database.writing() as session:
            if registry.services.database.is_embedded:
                for action in ("update", "delete", "replace"):
                    session.execute(text(f"DROP TRIGGER events_refuse_{action}"))
            else:
                session.execute(text("ALTER TABLE events DISABLE TRIGGER USER"))
            yield session
            raise PlantedError
    except PlantedError:
        pass


def damages(session, known=None):
    """What an audit of `acme` says: position and first words."""
    session.expire_all()
    found, _ = audit(session, "acme", known or {})
    return [(damage.position, damage.what) for damage in found]


def rehash(session, position):
    """Make an event's digest right again, as who changes one could."""
    session.expire_all()
    (row,) = list_events(session, "acme", after=position - 1, limit=1)
    session.execute(
        text("UPDATE events SET digest = :digest WHERE namespace = 'acme'" + AT),
        {"digest": link_of(row).digest(), "at": position},
    )


AT = " AND position = :at"

EDITS = {
    "kind": "'member.removed'",
    "actor": "'somebody'",
    "vector": "'guard'",
    "version": "'9.9.9'",
    "details": "'[]'",
    "at": "'2020-01-01 00:00:00.000000'",
    "digest": f"'{OTHER}'",
}


def test_a_chain_that_nobody_touched_is_whole(registry):
    with registry.services.database.reading() as session:
        found, end = audit(session, "acme", {})
        (last,) = list_events(session, "acme", after=EVENTS - 1, limit=1)

    assert found == []
    assert end is not None
    assert (end.position, end.digest) == (EVENTS, last.digest)


@pytest.mark.parametrize("column", EDITS)
@pytest.mark.parametrize("position", [1, 3, EVENTS])
def test_an_edit_is_found_where_it_was_made(registry, column, position):
    with without_triggers(registry) as session:
        session.execute(
            text(
                f"UPDATE events SET {column} = {EDITS[column]} WHERE"
                " namespace = 'acme' AND position = :at"
            ),
            {"at": position},
        )
        found = damages(session)

    assert found[0][0] == position
    assert "was changed" in found[0][1]


def test_an_edit_that_makes_its_digest_right_breaks_the_next(registry):
    with without_triggers(registry) as session:
        session.execute(
            text("UPDATE events SET actor = 'x' WHERE namespace = 'acme'" + AT),
            {"at": 3},
        )
        rehash(session, 3)
        found = damages(session)

    assert [position for position, _ in found] == [4]
    assert "names sha256:" in found[0][1]


def test_the_same_for_the_last_event_does_not_fit_the_end(registry):
    with without_triggers(registry) as session:
        session.execute(
            text("UPDATE events SET actor = 'x' WHERE namespace = 'acme'" + AT),
            {"at": EVENTS},
        )
        rehash(session, EVENTS)
        found = damages(session)

    assert [position for position, _ in found] == [EVENTS]
    assert "was the last one written" in found[0][1]


@pytest.mark.parametrize(
    ("gone", "position", "words"),
    [
        ("= 1", 2, "follows event 0: 1 missing"),
        ("= 3", 4, "follows event 2: 3 missing"),
        ("IN (3, 4)", 5, "follows event 2: 3 to 4 missing"),
        (f"= {EVENTS}", EVENTS, f"is the last one written, and {EVENTS} missing"),
        ("> 0", EVENTS, f"is the last one written, and 1 to {EVENTS} missing"),
    ],
)
def test_a_gap_is_found(registry, gone, position, words):
    with without_triggers(registry) as session:
        session.execute(
            text(f"DELETE FROM events WHERE namespace = 'acme' AND position {gone}")
        )
        found = damages(session)

    assert found == [(position, words)]


def test_closing_the_gap_is_found(registry):
    with without_triggers(registry) as session:
        session.execute(
            text("DELETE FROM events WHERE namespace = 'acme' AND position = 3")
        )
        for position in range(4, EVENTS + 1):
            session.execute(
                text("UPDATE events SET position = :to WHERE namespace = 'acme'" + AT),
                {"to": position - 1, "at": position},
            )
        found = damages(session)

    assert (3, True) in [
        (at, "one of the two was put here" in what) for at, what in found
    ]
    assert {position for position, _ in found} == {*range(3, EVENTS + 1)}


def test_two_that_changed_places_are_found(registry):
    with without_triggers(registry) as session:
        for at, to in ((3, 99), (4, 3), (99, 4)):
            session.execute(
                text("UPDATE events SET position = :to WHERE namespace = 'acme'" + AT),
                {"to": to, "at": at},
            )
        found = damages(session)

    assert {position for position, _ in found} == {3, 4, 5}


def test_one_from_elsewhere_is_found(registry):
    with without_triggers(registry) as session:
        session.execute(
            text("DELETE FROM events WHERE namespace = 'acme' AND position = 3")
        )
        session.execute(
            text("UPDATE events SET namespace = 'acme' WHERE namespace = 'other'" + AT),
            {"at": 3},
        )
        found = damages(session)

    assert {position for position, _ in found} == {3, 4}


def test_one_that_was_put_behind_the_last_is_found(registry):
    with without_triggers(registry) as session:
        (last,) = list_events(session, "acme", after=EVENTS - 1, limit=1)
        session.execute(
            text(
                "INSERT INTO events SELECT namespace, position + 1, kind, at, actor,"
                " token_id, vector, version, details, digest, digest FROM events"
                " WHERE namespace = 'acme'" + AT
            ),
            {"at": EVENTS},
        )
        rehash(session, EVENTS + 1)
        found = damages(session)

    assert last.position == EVENTS
    assert [position for position, _ in found] == [EVENTS + 1]


def test_a_chain_cut_off_with_its_end_is_found_by_what_was_kept(registry):
    with without_triggers(registry) as session:
        rows = list_events(session, "acme", after=EVENTS - 2, limit=2)
        last, kept = (row.digest for row in rows)
        session.execute(
            text("DELETE FROM events WHERE namespace = 'acme'" + AT), {"at": EVENTS}
        )
        session.execute(
            text(
                "UPDATE event_ends SET position = :at, digest = :digest"
                " WHERE namespace = 'acme'"
            ),
            {"at": EVENTS - 1, "digest": last},
        )
        unknowing, knowing = damages(session), damages(session, {EVENTS: kept})

    assert unknowing == []
    assert knowing == [(EVENTS, f"is missing; its digest was {kept}")]


def test_a_chain_made_anew_is_found_by_what_was_kept(registry):
    with without_triggers(registry) as session:
        knowing = damages(session, {2: OTHER})

    assert [position for position, _ in knowing] == [2]
    assert "was replaced" in knowing[0][1]


def run(registry, parts, *arguments):
    return subprocess.run(
        [
            *(sys.executable, "-m", "safegene_registry", "audit", *arguments),
            *("--data", str(registry.data)),
        ],
        env={**os.environ, **environment_of(parts)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_the_command_says_it_and_its_exit_code_does(registry, module_parts, tmp_path):
    verified = run(registry, module_parts, "verify")
    kept = tmp_path / "kept"
    kept.write_text(verified.stdout)
    again = run(registry, module_parts, "verify", "--against", str(kept))
    kept.write_text(kept.read_text().replace("\tsha256:", "\tsha256:0"))
    replaced = run(registry, module_parts, "verify", "--against", str(kept))
    unknown = run(registry, module_parts, "verify", "--namespace", "nobody")
    shown = run(registry, module_parts, "show", "acme", "--json", "--after", "5")
    table = run(registry, module_parts, "show", "acme")

    assert verified.returncode == again.returncode == 0, verified.stderr
    assert verified.stdout == again.stdout
    lines = [line.split("\t") for line in verified.stdout.splitlines()]
    assert [line[:3] for line in lines] == [
        ["whole", "acme", str(EVENTS)],
        ["whole", "other", str(EVENTS)],
    ]
    assert replaced.returncode == 1
    assert replaced.stdout.count("damaged\t") == 2
    assert "was replaced" in replaced.stdout
    assert unknown.returncode == 1
    assert "There is no namespace nobody" in unknown.stderr
    documents = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [document["position"] for document in documents] == [6, 7]
    assert documents[-1]["digest"] == lines[0][3]
    assert len(table.stdout.splitlines()) == EVENTS + 1
