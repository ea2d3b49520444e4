"""`safegene-registry token|namespace|member|publisher`, beside a running registry."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from safegene_registry.access import Scope
from support.backends import Parts, environment_of
from support.registry_app import AppRegistry, app_registry, bearer

ISSUER = "https://issuer.test"


@dataclass
class Operator:
    """Somebody at the command line of a registry that is running."""

    registry: AppRegistry
    parts: Parts

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, "-m", "safegene_registry", *arguments),
                *("--data", self.registry.data),
            ],
            env={
                **os.environ,
                **environment_of(self.parts),
                "SAFEGENE_REGISTRY_OIDC_ISSUERS": ISSUER,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )

    def must(self, *arguments: str) -> str:
        """Standard output of a command that succeeds."""
        ended = self.run(*arguments)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def rows(self, *arguments: str) -> list[dict[str, str]]:
        """What a list says."""
        names, *lines = self.must(*arguments).splitlines()
        columns = names.split("\t")
        return [dict(zip(columns, line.split("\t"), strict=True)) for line in lines]

    def status(self, secret: str, path: str) -> int:
        """What the service answers to a token."""
        answer = self.registry.client.get(path, headers=bearer(secret))
        return answer.status_code


@pytest.fixture
def operator(tmp_path: Path, parts: Parts):
    with app_registry(tmp_path / "data", **parts) as running:
        yield Operator(running, parts)


def test_people_are_let_in_and_out(operator):
    """Each command is felt by the running registry with the next request."""
    url = "/v1/namespaces/vault"
    ann = operator.must("token", "create", "--name", "ann", "--scope", "admin").strip()
    bob = operator.must("token", "create", "--name", "bob", "--scope", "read").strip()

    operator.must("namespace", "create", "vault", "--owner", "ann", "--private")
    strange = operator.status(bob, url)
    operator.must("member", "add", "vault", "bob", "--role", "reader")
    as_reader = operator.status(bob, url)
    members = operator.rows("member", "list", "vault")
    operator.must("member", "remove", "vault", "bob")
    removed = operator.status(bob, url)
    operator.must("namespace", "set", "vault", "--visibility", "public")

    assert (strange, as_reader, removed) == (404, 200, 404)
    assert [(m["account"], m["role"]) for m in members] == [
        ("ann", "owner"),
        ("bob", "reader"),
    ]
    assert operator.status(bob, url) == 200
    assert operator.status(ann, url + "/members") == 200


def test_a_token_is_printed_alone_and_listed_without_its_secret(operator):
    operator.must("token", "create", "--name", "ann")
    ended = operator.run(
        *("token", "create", "--name", "laptop", "--account", "ann"),
        *("--scope", "read", "--days", "7"),
    )

    secret = ended.stdout.strip()
    listed = operator.rows("token", "list", "--account", "ann")

    assert secret.startswith("sgt_")
    assert ended.stdout == secret + "\n"
    assert secret not in ended.stderr
    assert [row["name"] for row in listed] == ["ann", "laptop"]
    assert listed[0]["expires"] == ""
    assert listed[1]["scope"] == "read"
    assert listed[1]["expires"] > listed[1]["created"]
    assert secret not in str(listed)


def test_one_token_is_ended_or_all_of_an_account(operator):
    first = operator.must("token", "create", "--name", "ann").strip()
    second = operator.must("token", "create", "--name", "ann").strip()
    token_id = operator.rows("token", "list", "--account", "ann")[0]["id"]

    operator.must("token", "revoke", token_id)
    after_one = [operator.status(secret, "/v1/whoami") for secret in (first, second)]
    operator.must("token", "revoke", "--account", "ann")
    after_all = [operator.status(secret, "/v1/whoami") for secret in (first, second)]

    assert after_one == [401, 200]
    assert after_all == [401, 401]
    assert operator.rows("token", "list", "--account", "ann") == []
    assert len(operator.rows("token", "list", "--account", "ann", "--all")) == 2


def test_only_operators_tokens_do_everything(operator):
    plain = operator.must("token", "create", "--name", "ann", "--scope", "admin")
    ops = operator.must(
        *("token", "create", "--name", "ops", "--scope", "admin", "--operator")
    )

    assert operator.status(plain.strip(), "/v1/accounts") == 403
    assert operator.status(ops.strip(), "/v1/accounts") == 200


def test_quotas_are_set_and_taken_away(operator):
    operator.registry.token_of("ann")
    operator.must("namespace", "create", "acme", "--owner", "ann", "--quota", "10")
    before = operator.rows("namespace", "list")
    operator.must("namespace", "set", "acme", "--no-quota")

    after = operator.rows("namespace", "list")

    assert [(n["namespace"], n["quota bytes"]) for n in before] == [("acme", "10")]
    assert after[0]["quota bytes"] == ""
    assert after[0]["used bytes"] == "0"


def test_ci_jobs_are_trusted_and_trusted_no_longer(operator):
    operator.registry.token_of("ann", Scope.ADMIN)
    operator.must("namespace", "create", "acme", "--owner", "ann")
    operator.must(
        *("publisher", "add", "acme", "release", "--issuer", ISSUER),
        *("--claim", "repository=acme/vectors", "--claim", "environment=a=b"),
    )

    listed = operator.rows("publisher", "list", "acme")
    operator.must("publisher", "remove", "acme", "release")

    assert listed == [
        {
            "name": "release",
            "issuer": ISSUER,
            "audience": "safegene",
            "claims": listed[0]["claims"],
            "role": "publisher",
            "last used": "",
        }
    ]
    assert sorted(listed[0]["claims"].split()) == [
        "environment=a=b",
        "repository=acme/vectors",
    ]
    assert operator.rows("publisher", "list", "acme") == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["member", "list", "nowhere"], 1, "There is no namespace nowhere."),
        (["token", "revoke"], 2, "name one token by its ID"),
    ],
)
def test_what_cannot_be_is_told(operator, arguments, code, told):
    """Of a process; all else that can be wrong is in `test_commands.py`."""
    ended = operator.run(*arguments)

    assert ended.returncode == code
    assert told in ended.stderr
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
