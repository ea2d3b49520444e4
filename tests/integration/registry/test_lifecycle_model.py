"""A registry lives as a model of a few lines does, whatever is done to it, by whom.

Every sequence is about a vector of its own; some share a registry, and the bytes of the
tensors. Three clients act on what they have last seen, which others may have changed.
What is held against the model: every answer, and in the end everything that can be
asked, with a token or without; and that bytes are there as long as a version has them
and no longer.

`make test` runs 200 sequences on SQLite and 200 on PostgreSQL, a third of a second of
one core each, on PostgreSQL a little more; `make test-slow` 1000 others on each. What
takes the time is the registry itself: 39 requests a sequence, with statements and
commits. Blobs lie in a directory; a few sequences go to an S3 server, in
`make test-slow`.

Found at once, when they were planted: moving or removing an alias without looking at
what is expected; yanked versions in ranges, behind aliases, or pointed at; purged ones
that are had, or published anew; `gc` that takes what a version has, or what it shares
with a purged one; deprecations that are lost, with or without a token; moves that are.
"""

import dataclasses
import os
from contextlib import contextmanager
from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from safegene_registry import membership
from safegene_registry.access import Role, Scope
from safegene_registry.care.collection import collect
from safegene_registry.care.fsck import examine
from safegene_registry.tokens import user_account
from support.backends import BACKENDS
from support.lifecycle_model import DONE, NOTHING, Model
from support.registry_app import app_registry, bearer
from support.services import new_database
from support.straight import StraightClient
from support.versions import write_version

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import CARD_NAME, Manifest

STEPS = 20
EACH = 100
SHARDS = [("embedded", 0), ("embedded", 1), ("shared", 2), ("shared", 3)]
"""Of `make test`: parts that run beside each other, on SQLite and on PostgreSQL."""

SLOW_SHARDS = 4
SLOW_EACH = int(os.environ.get("LIFECYCLE_SEQUENCES", "1000")) // SLOW_SHARDS
"""Of `make test-slow`, on each."""

SLOW = [("embedded", 4 + n) for n in range(SLOW_SHARDS)]
SLOW += [("shared", 4 + SLOW_SHARDS + n) for n in range(SLOW_SHARDS)]

ON_S3 = 10

VERSIONS = ("1.0.0", "1.1.0", "1.2.0rc1", "2.0.0a1")
RANGES = ("", "~=1.0", "==1.1.0", "==1.1.*", ">=2.0a1", ">=3", "<1.2", "==1.2.0rc1")
ALIASES = ("stable", "canary")
REASONS = ("refuses code", "leaks a key")
CLIENTS = {"ann": "owner", "bob": "publisher", "cay": "publisher"}
"""Who acts, and with whose token."""

SEEN, NOW = "seen", "now"
"""What a client expects an alias to point at: what it last saw, or where it does."""

picks, aliases = st.integers(0, 9), st.sampled_from(ALIASES)
clients = st.sampled_from(tuple(CLIENTS))
reasons = st.sampled_from(REASONS)
expectations = st.sampled_from((SEEN, SEEN, SEEN, NOW, NOTHING, None, *VERSIONS[:2]))


class Life(RuleBasedStateMachine):
    """Drives one vector; a subclass has the registry and what is published."""

    registry: object
    template: Manifest
    files: dict[str, bytes]
    tokens: dict[str, str]
    numbers: count

    @initialize()
    def begin(self):
        self.name = f"v{next(self.numbers)}"
        self.path = f"/v1/vectors/acme/{self.name}"
        self.model = Model()
        self.digests = {}
        self.seen = {name: dict.fromkeys(ALIASES) for name in CLIENTS}
        # Most of what may go wrong takes some to be there, and to be believed.
        self.publish("1.0.0", 0)
        self.publish("1.1.0", 1)
        self.move("stable", 0, NOTHING, "ann")
        for seen in self.seen.values():
            seen["stable"] = "1.0.0"

    def one_of(self, pick):
        """A version; mostly one that was published, and often what an alias means."""
        known = tuple(self.model.versions)
        pointed = tuple(self.model.aliases.values())
        if pick == 9:
            return VERSIONS[-1]
        if pick > 5 and pointed:
            return pointed[pick % len(pointed)]
        return known[pick % len(known)]

    def expects(self, alias, expected, client):
        """What a client says that an alias points at."""
        if expected == NOW:
            return self.model.aliases.get(alias)
        return self.seen[client][alias] if expected == SEEN else expected

    def ask(self, method, path, caller, **options):
        headers = bearer(self.tokens[CLIENTS[caller]]) if caller else {}
        return self.registry.client.request(
            method, f"{self.path}{path}", headers=headers, **options
        )

    def do(self, wanted, method, path, caller, **options):
        answer = self.ask(method, path, caller, **options)
        assert answer.status_code == wanted, answer.text
        return answer

    def card(self, content):
        return f"# {self.name}, content {content}\n".encode()

    def manifest(self, version, content):
        card = self.card(content)
        files = [
            {**entry, "digest": str(digest_bytes(card)), "size": len(card)}
            if entry["path"] == CARD_NAME
            else entry
            for entry in self.template.model_dump()["files"]
        ]
        changed = {"name": self.name, "version": version, "files": files}
        return Manifest.model_validate({**self.template.model_dump(), **changed})

    @rule(version=picks, content=st.integers(0, 1))
    def publishing(self, version, content):
        """Publish; half of the time under a number that was purged, if there is one."""
        purged = tuple(v for v, known in self.model.versions.items() if known.is_purged)
        numbers = purged if purged and version > 4 else VERSIONS
        self.publish(numbers[version % len(numbers)], content)

    def publish(self, version, content):
        manifest = self.manifest(version, content)
        wanted = self.model.publish(version, content)
        opened = self.registry.open_upload(manifest.to_bytes())
        if wanted in (409, 410):
            assert opened.status_code == wanted, opened.text
            return
        data = {**self.files, str(digest_bytes(self.card(content))): self.card(content)}
        for blob in opened.json()["blobs"]:
            if blob["state"] == "missing":
                self.registry.send_blob(opened.json(), blob, data[blob["digest"]])
        done = self.registry.complete(opened.json())
        assert done.status_code == wanted, done.text
        self.digests[version] = str(manifest.digest)

    @rule(version=picks, reason=reasons, caller=clients)
    def yank(self, version, reason, caller):
        version = self.one_of(version)
        wanted = self.model.yank(version, reason)
        path = f"/versions/{version}/yank"
        self.do(wanted, "PUT", path, caller, json={"reason": reason})

    @rule(version=picks, caller=clients)
    def unyank(self, version, caller):
        version = self.one_of(version)
        wanted = self.model.yank(version, None)
        self.do(wanted, "DELETE", f"/versions/{version}/yank", caller)

    @rule(
        version=st.sampled_from((None, *range(9))),
        message=st.sampled_from((None, *REASONS)),
        caller=clients,
    )
    def deprecate(self, version, message, caller):
        version = None if version is None else self.one_of(version)
        wanted = self.model.deprecate(version, message)
        path = f"/versions/{version}/deprecation" if version else "/deprecation"
        method = "PUT" if message else "DELETE"
        self.do(wanted, method, path, caller, json={"message": message})

    @rule(version=picks, reason=reasons, caller=st.sampled_from(("ann", "ann", "bob")))
    def purge(self, version, reason, caller):
        version = self.one_of(version)
        wanted = 403
        if CLIENTS[caller] == "owner":
            wanted = self.model.purge(version, reason)
        digest = self.digests.get(version, "sha256:" + "0" * 64)
        body = {"reason": reason, "digest": digest}
        self.do(wanted, "POST", f"/versions/{version}/purge", caller, json=body)

    def move(self, alias, version, expected, caller):
        version = self.one_of(version)
        expected = self.expects(alias, expected, caller)
        wanted = self.model.move(alias, version, expected)
        body = {"version": version}
        if expected != NOTHING:
            body["expected"] = expected
        self.do(wanted, "PUT", f"/aliases/{alias}", caller, json=body)
        self.learn(wanted, alias, caller)

    def remove(self, alias, expected, caller):
        expected = self.expects(alias, expected, caller) or NOTHING
        wanted = self.model.remove(alias, expected)
        params = {} if expected == NOTHING else {"expected": expected}
        self.do(wanted, "DELETE", f"/aliases/{alias}", caller, params=params)
        self.learn(wanted, alias, caller)

    def learn(self, status, alias, caller):
        """A client knows what it has done, and nothing of what others do."""
        if status in DONE:
            self.seen[caller][alias] = self.model.aliases.get(alias)

    @rule(alias=aliases, caller=clients)
    def look(self, alias, caller):
        """See where an alias points, to act on it later."""
        answer = self.ask("GET", f"/aliases/{alias}", caller)
        found = answer.json()["version"] if answer.status_code == 200 else None
        assert found == self.model.aliases.get(alias), answer.text
        self.seen[caller][alias] = found

    # The more often, the more names: what collides with others comes more often.
    _move = rule(alias=aliases, version=picks, expected=expectations, caller=clients)
    moving, moving_on, moving_back = _move(move), _move(move), _move(move)
    _remove = rule(alias=aliases, expected=expectations, caller=clients)
    removing, removing_too = _remove(remove), _remove(remove)

    @rule()
    def clear(self):
        collect(self.registry.services, grace=timedelta(0))

    @rule(constraint=st.sampled_from(RANGES), caller=st.none() | clients)
    def resolve(self, constraint, caller):
        params = {"constraint": constraint} if constraint else {}
        self.means(self.model.ranged(constraint), caller, **params)

    @rule(alias=aliases, caller=st.none() | clients)
    def follow(self, alias, caller):
        self.means(self.model.aliased(alias), caller, alias=alias)

    def means(self, wanted, caller, **params):
        """The registry resolves as the model does, or refuses as it does."""
        answer = self.ask("GET", "/resolve", caller, params=params)
        found = answer.json()
        if answer.status_code != 200:
            assert answer.status_code == wanted, answer.text
            return
        assert found["version"] == wanted
        self.tells(found)

    def tells(self, found):
        yanked, deprecated = found["yanked"], found["deprecated"]
        said = yanked and yanked["reason"], deprecated and deprecated["message"]
        assert said == self.model.said(found["version"])
        assert found["digest"] == self.digests[found["version"]]

    def teardown(self):
        """Everything is as the model has it, with a token or without."""
        caller = ("ann", None)[len(self.model.moves) % 2]
        for constraint in RANGES[:5:2]:
            self.resolve(constraint, caller)
        for alias in ALIASES:
            self.follow(alias, caller)
            moves = self.model.moves.get(alias, [])
            path = f"/aliases/{alias}/history"
            answer = self.ask("GET", path, caller, params={"limit": 200})
            items = answer.json()["items"] if answer.status_code == 200 else []
            found = [(one["from_version"], one["to_version"]) for one in items]
            assert found == moves
        for version, known in self.model.versions.items():
            for anybody in ("ann", None):
                answer = self.ask("GET", f"/versions/{version}", anybody)
                assert answer.status_code == self.model.exact(version)
                if answer.status_code in DONE:
                    self.tells(answer.json())
            path = f"/versions/{version}/files/{CARD_NAME}"
            file = self.ask("GET", path, caller)
            assert file.status_code == self.model.exact(version)
            if file.status_code in DONE:
                assert file.content == self.card(known.content)
            digest = Digest.parse(str(digest_bytes(self.card(known.content))))
            there = self.registry.services.store.find(digest) is not None
            assert there == self.model.lives(known.content)
        # Those that all vectors share, the first of which is never purged.
        for digest in self.files:
            if digest != self.template.file(CARD_NAME).digest:
                assert self.registry.services.store.find(Digest.parse(digest))


@contextmanager
def living(root, parts):
    """The machine, with a registry in which `acme` has an owner and a publisher."""
    parts = {"rate_limit_per_minute": None, **parts}
    with app_registry(root / "data", **parts) as registry:
        template = write_version(root / "v", vector="acme/template")
        assert registry.publish(template, root / "v").status_code == 201
        with registry.services.database.writing() as session:
            user_account(session, "bob", operator=False, by="tests")
            membership.set_member(session, "acme", "bob", Role.PUBLISHER, by="tests")
        with StraightClient(registry.app) as straight:
            # Bytes that are elsewhere are sent and fetched there, by a real client.
            client = registry.client if "s3_bucket" in parts else straight

            class Here(Life):
                pass

            Here.registry = dataclasses.replace(registry, client=client)
            Here.template, Here.numbers = template, count()
            Here.files = {
                entry.digest: (root / "v" / entry.path).read_bytes()
                for entry in template.files
            }
            Here.tokens = {
                "owner": registry.token_of("tests", Scope.ADMIN),
                "publisher": registry.token_of("bob", Scope.ADMIN),
            }
            yield Here


def here(shards):
    """Those of the shards that are to be run, as pytest takes them."""
    return [each for each in shards if each[0] in BACKENDS]


@pytest.fixture
def database_parts(request, kind):
    """The settings of a registry on SQLite, or on PostgreSQL; blobs in a directory."""
    if kind == "embedded":
        yield {}
        return
    server = request.getfixturevalue("postgres_server")
    template = request.getfixturevalue("migrated_database").rpartition("/")[2]
    with new_database(server, template=template) as url:
        yield {"database_url": url}


def run(machine, sequences, number):
    """The same sequences every time, so that what was found stays found."""
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert next(machine.numbers) >= sequences
    assert examine(machine.registry.services).findings == []


@pytest.mark.parametrize(("kind", "shard"), here(SHARDS))
@pytest.mark.timeout(1800)
def test_it_lives_as_the_model_does(tmp_path, database_parts, shard):
    with living(tmp_path, database_parts) as machine:
        run(machine, EACH, shard)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "shard"), here(SLOW))
@pytest.mark.timeout(3600)
def test_it_lives_so_for_longer(tmp_path, database_parts, shard):
    with living(tmp_path, database_parts) as machine:
        run(machine, SLOW_EACH, shard)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_it_lives_so_on_a_bucket(tmp_path, parts):
    with living(tmp_path, parts) as machine:
        run(machine, ON_S3, len(SHARDS + SLOW))
