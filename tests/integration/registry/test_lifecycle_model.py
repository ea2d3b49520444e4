"""A registry lives as a model of a few lines does, whatever is done to it, by whom.

Every sequence is about a vector of its own; all share a registry, and the bytes of the
tensors. What is held against the model: every answer, and in the end everything that
can be asked, with a token or without; and that bytes are there as long as a version has
them and no longer.
"""

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, settings
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
from support.lifecycle_model import DONE, NOTHING, Model
from support.registry_app import app_registry, bearer
from support.versions import write_version

from safegene.artifact.digest import Digest, digest_bytes
from safegene.artifact.manifest import CARD_NAME, Manifest

SEQUENCES, STEPS = 200, 10
VERSIONS = ("1.0.0", "1.1.0", "1.2.0rc1", "1.2.0", "2.0.0a1")
RANGES = ("", "~=1.0", "<1.2", "==1.1.0", "==1.1.*", ">=2.0a1", ">=3", "==1.2.0rc1")
ALIASES = ("stable", "canary")
REASONS = ("refuses code", "leaks a key")

picks, aliases = st.integers(0, 9), st.sampled_from(ALIASES)
callers = st.sampled_from(("owner", "publisher"))
reasons = st.sampled_from(REASONS)
expectations = st.sampled_from((NOTHING, NOTHING, "now", None, *VERSIONS[:2]))
"""What an alias is expected to point at; `now` is where it does."""


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
        # Most of what may go wrong takes some to be there.
        self.publish("1.0.0", 0)
        self.publish("1.1.0", 1)

    def one_of(self, pick):
        """A version; mostly one that was published."""
        known = tuple(self.model.versions)
        return known[pick % len(known)] if pick else VERSIONS[-1]

    def ask(self, method, path, caller, **options):
        headers = bearer(self.tokens[caller]) if caller else {}
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

    @rule(version=st.sampled_from(VERSIONS), content=st.integers(0, 1))
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

    @rule(version=picks, reason=reasons, caller=callers)
    def yank(self, version, reason, caller):
        version = self.one_of(version)
        wanted = self.model.yank(version, reason)
        path = f"/versions/{version}/yank"
        self.do(wanted, "PUT", path, caller, json={"reason": reason})

    @rule(version=picks, caller=callers)
    def unyank(self, version, caller):
        version = self.one_of(version)
        wanted = self.model.yank(version, None)
        self.do(wanted, "DELETE", f"/versions/{version}/yank", caller)

    @rule(version=st.none() | picks, message=st.none() | reasons, caller=callers)
    def deprecate(self, version, message, caller):
        version = None if version is None else self.one_of(version)
        wanted = self.model.deprecate(version, message)
        path = f"/versions/{version}/deprecation" if version else "/deprecation"
        method = "PUT" if message else "DELETE"
        self.do(wanted, method, path, caller, json={"message": message})

    @rule(version=picks, reason=reasons, caller=callers)
    def purge(self, version, reason, caller):
        version = self.one_of(version)
        wanted = 403
        if caller == "owner":
            wanted = self.model.purge(version, reason)
        digest = self.digests.get(version, "sha256:" + "0" * 64)
        body = {"reason": reason, "digest": digest}
        self.do(wanted, "POST", f"/versions/{version}/purge", caller, json=body)

    @rule(alias=aliases, version=picks, expected=expectations, caller=callers)
    def move(self, alias, version, expected, caller):
        version = self.one_of(version)
        expected = self.model.aliases.get(alias) if expected == "now" else expected
        wanted = self.model.move(alias, version, expected)
        body = {"version": version}
        if expected != NOTHING:
            body["expected"] = expected
        self.do(wanted, "PUT", f"/aliases/{alias}", caller, json=body)

    @rule(alias=aliases, expected=expectations, caller=callers)
    def remove(self, alias, expected, caller):
        expected = self.model.aliases.get(alias) if expected == "now" else expected
        expected = expected or NOTHING
        wanted = self.model.remove(alias, expected)
        params = {} if expected == NOTHING else {"expected": expected}
        self.do(wanted, "DELETE", f"/aliases/{alias}", caller, params=params)

    @rule()
    def clear(self):
        collect(self.registry.services, grace=timedelta(0))

    @rule(constraint=st.sampled_from(RANGES), caller=st.none() | callers)
    def resolve(self, constraint, caller):
        params = {"constraint": constraint} if constraint else {}
        self.means(self.model.ranged(constraint), caller, **params)

    @rule(alias=aliases, caller=st.none() | callers)
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
        caller = ("owner", None)[len(self.model.versions) % 2]
        for constraint in RANGES[::2]:
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
            answer = self.ask("GET", f"/versions/{version}", caller)
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


@pytest.fixture(scope="module")
def life(tmp_path_factory, module_parts):
    """The machine, with a registry in which `acme` has an owner and a publisher."""
    root = tmp_path_factory.mktemp("life")
    parts = {"rate_limit_per_minute": None, **module_parts}
    with app_registry(root / "data", **parts) as registry:
        template = write_version(root / "v", vector="acme/template")
        assert registry.publish(template, root / "v").status_code == 201
        with registry.services.database.writing() as session:
            user_account(session, "bob", operator=False, by="tests")
            membership.set_member(session, "acme", "bob", Role.PUBLISHER, by="tests")

        class Here(Life):
            pass

        Here.registry, Here.template, Here.numbers = registry, template, count()
        Here.files = {
            entry.digest: (root / "v" / entry.path).read_bytes()
            for entry in template.files
        }
        Here.tokens = {
            "owner": registry.token_of("tests", Scope.ADMIN),
            "publisher": registry.token_of("bob", Scope.ADMIN),
        }
        yield Here


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_lives_as_the_model_does(life):
    """The same sequences every time, so that what was found stays found."""
    run_state_machine_as_test(
        life,
        settings=settings(
            max_examples=SEQUENCES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )

    assert examine(life.registry.services).findings == []
