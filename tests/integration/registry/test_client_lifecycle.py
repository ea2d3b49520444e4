"""What owners and publishers do with published versions, by the client."""

import pytest
from safegene_client import Registry
from safegene_registry.access import Scope
from support.passing import passed_on
from support.registry_app import app_registry
from support.versions import write_version

from safegene.errors import (
    ForbiddenError,
    GoneError,
    InvalidReferenceError,
    NotFoundError,
    PreconditionFailedError,
    RegistryError,
    RejectedError,
    UsageError,
)

GUARD = "acme/guard"


@pytest.fixture
def client(tmp_path, parts):
    """Makes the client of an account; `tests` owns the namespace."""
    opened = []
    with app_registry(tmp_path / "data", **parts) as registry:
        for seed, version in enumerate(("1.0.0", "1.1.0")):
            place = tmp_path / version
            manifest = write_version(place, vector=GUARD, version=version, seed=seed)
            assert registry.publish(manifest, place).status_code == 201
        with passed_on(registry) as server:

            def client(account="tests", scope=Scope.ADMIN):
                token = registry.token_of(account, scope)
                cache = tmp_path / "cache"
                opened.append(Registry(server.url, token=token, cache=cache))
                return opened[-1]

            yield client
            for one in opened:
                one.close()


def test_an_alias_is_set_moved_and_removed(client):
    registry = client()

    made = registry.set_alias(f"{GUARD}@1.0", "stable", expected=None)
    moved = registry.set_alias(GUARD, "stable", expected="1.0")
    named = registry.resolve(f"{GUARD}@stable")
    aliases = registry.aliases(GUARD)
    registry.remove_alias(GUARD, "stable", expected="1.1")

    assert (made.alias, made.version, moved.version) == ("stable", "1.0.0", "1.1.0")
    assert (named.version, named.digest) == ("1.1.0", moved.digest)
    assert aliases == [moved]
    assert registry.aliases(GUARD) == []
    history = registry.alias_history(GUARD, "stable")
    assert [(one.from_version, one.to_version) for one in history] == [
        ("1.1.0", None),
        ("1.0.0", "1.1.0"),
        (None, "1.0.0"),
    ]
    assert {one.by for one in history} == {"tests"}


def test_every_refusal_has_its_exception(client):
    registry = client()
    registry.set_alias(f"{GUARD}@1.0", "stable")
    yanked = registry.yank(f"{GUARD}@1.0", "refuses code")

    assert yanked.aliases == ("stable",)
    with pytest.raises(PreconditionFailedError, match=r"points at 1\.0\.0"):
        registry.set_alias(f"{GUARD}@1.1", "stable", expected="1.1")
    with pytest.raises(RegistryError, match="was yanked"):
        registry.set_alias(f"{GUARD}@1.0", "canary")
    with pytest.raises(NotFoundError, match="which was yanked: refuses code"):
        registry.resolve(f"{GUARD}:stable")
    with pytest.raises(NotFoundError, match="no alias 'canary'"):
        registry.alias_history(GUARD, "canary")
    with pytest.raises(InvalidReferenceError, match="read as a version"):
        registry.set_alias(f"{GUARD}@1.1", "v1")


def test_owners_say_who_moves_an_alias(client):
    owner, other = client(), client("eve", Scope.PUBLISH)

    rule = owner.protect_alias(GUARD, "stable", ["tests"])
    everywhere = owner.protect_alias("acme", "canary")
    with pytest.raises(ForbiddenError):
        other.set_alias(f"{GUARD}@1.0", "stable")

    assert (rule.vector, rule.movers) == ("guard", ("tests",))
    assert (everywhere.vector, everywhere.movers) == (None, ())
    assert owner.set_alias(f"{GUARD}@1.0", "canary").protected
    owner.unprotect_alias("acme", "canary")
    with pytest.raises(NotFoundError, match="protects the alias 'canary'"):
        owner.unprotect_alias("acme", "canary")
    with pytest.raises(RejectedError, match="No members of acme: eve"):
        owner.protect_alias("acme", "canary", ["eve"])


def test_advisories_are_published_told_and_withdrawn(client, caplog):
    registry = client()

    said = registry.publish_advisory(
        GUARD,
        affected="<1.1",
        severity="high",
        summary="refuses code\x1b",
        fixed_in="1.1",
    )
    told = registry.resolve(f"{GUARD}@1.0").advisories
    warned = caplog.text
    about = registry.advisories(f"{GUARD}@<1.1")
    none = registry.advisories(f"{GUARD}:latest")
    gone = registry.withdraw_advisory(GUARD, said.number, "it was the target")

    assert [note.number for note in told] == [1]
    warning = "acme/guard@1.0.0 has advisory 1 (high): refuses code"
    assert warning in warned
    assert "fixed in 1.1.0" in warned
    assert "\x1b" not in warned
    assert (about, none) == ([said], [])
    assert registry.advisories(f"{GUARD}@1.0") == []
    assert registry.advisories(GUARD) == [gone]
    with pytest.raises(NotFoundError, match="no advisory 2"):
        registry.withdraw_advisory(GUARD, 2, "none")
    with pytest.raises(RejectedError, match=r"1\.0\.5 is said to mend it"):
        registry.publish_advisory(
            *(GUARD,),
            affected="<1.1",
            severity="low",
            summary="x",
            fixed_in="1.0.5",
        )
    with pytest.raises(ForbiddenError):
        client("eve", Scope.PUBLISH).withdraw_advisory(GUARD, 1, "mine")


def test_what_is_deprecated_says_what_to_use(client, caplog):
    registry = client()
    registry.deprecate(f"{GUARD}@1.0", "too old", successor=f"{GUARD}@~=1.1")
    registry.deprecate(GUARD, "see guard2")

    old = registry.resolve(f"{GUARD}@1.0")
    newest = registry.resolve(GUARD)
    described = registry.describe(GUARD)
    registry.undeprecate(GUARD)

    assert (old.deprecated.of, newest.deprecated.of) == ("version", "vector")
    assert described.deprecated == newest.deprecated
    assert [one.deprecated is None for one in described.versions] == [True, False]
    assert (
        "acme/guard@1.0.0 is deprecated: too old; use acme/guard@~=1.1" in caplog.text
    )
    assert "acme/guard is deprecated: see guard2" in caplog.text
    assert registry.resolve(GUARD).deprecated is None


def test_a_version_is_purged_and_says_so(client):
    registry = client()

    with pytest.raises(UsageError, match="may mean another version tomorrow"):
        registry.purge(f"{GUARD}@~=1.0", "court")
    with pytest.raises(ForbiddenError):
        client(scope=Scope.PUBLISH).purge(f"{GUARD}@1.1", "court")
    said = registry.purge(f"{GUARD}@1.1", "court")

    assert (said.identity, said.purged.reason) == (f"{GUARD}@1.1.0", "court")
    assert registry.resolve(GUARD).version == "1.0.0"
    with pytest.raises(GoneError, match=r"was purged on .*: court"):
        registry.resolve(f"{GUARD}@1.1")
    with pytest.raises(GoneError):
        registry.pull(f"{GUARD}@{said.digest}")
    listed = registry.describe(GUARD).versions
    assert [one.purged is not None for one in listed] == [True, False]
