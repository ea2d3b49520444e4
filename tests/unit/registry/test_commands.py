"""`safegene-registry` in the hands of somebody new: what it says, and exit codes.

What its commands do beside a running registry is in the integration tests.
"""

import logging
import sys
from pathlib import Path

import pytest
from safegene_registry.__main__ import main, reason_of
from safegene_registry.access import Visibility
from safegene_registry.membership import create_namespace
from safegene_registry.server import prepare_data
from safegene_registry.settings import Settings
from safegene_registry.tokens import user_account
from sqlalchemy.exc import OperationalError

ISSUER = "https://issuer.test"


@pytest.fixture(autouse=True)
def own_root_logger():
    """Put the root logger back afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process: exit code, output, errors."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["safegene-registry", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return ended.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Options that name a registry with the account ann, owner of the private acme."""
    data = tmp_path_factory.mktemp("commands") / "data"
    database = prepare_data(Settings(data=data))
    with database.writing() as session:
        create_namespace(
            session,
            "acme",
            owner=user_account(session, "ann", operator=False, by="tests"),
            visibility=Visibility.PRIVATE,
            quota_bytes=None,
            by="tests",
        )
    database.dispose()
    return ("--data", data)


def test_private_namespaces_are_listed_as_well(run, place):
    code, listed, _ = run("namespace", "list", *place)

    assert code == 0
    assert listed.splitlines()[1] == "acme\tprivate\t0\t"


@pytest.mark.parametrize(
    "arguments",
    [
        ["token", "list"],
        ["token", "revoke", "--account", "ann"],
        ["namespace", "create", "acme", "--owner", "ann"],
        ["namespace", "list"],
        ["member", "list", "acme"],
        ["publisher", "list", "acme"],
        ["gc"],
        ["fsck"],
        ["backup", "somewhere"],
    ],
    ids=" ".join,
)
def test_a_mistyped_directory_is_told_and_not_made(run, tmp_path, arguments):
    typo = tmp_path / "typo"

    code, out, told = run(*arguments, "--data", typo)

    assert (code, out) == (2, "")
    assert f"there is no registry in {typo}" in told
    assert "SAFEGENE_REGISTRY_DATA" in told
    assert not typo.exists()


def test_a_first_token_may_come_before_the_first_start(run, tmp_path):
    data = tmp_path / "data"

    code, out, told = run("token", "create", "--name", "ann", "--data", data)

    assert code == 0
    assert out.startswith("sgt_")
    assert f"There was no registry in {data}; it is made now." in told


def test_what_is_no_database_is_told(run, tmp_path):
    file = Settings(data=tmp_path).database_path
    file.write_bytes(b"no database" * 1000)

    code, out, told = run("token", "list", "--data", tmp_path)

    assert (code, out) == (1, "")
    assert told == (
        f"safegene-registry: cannot open the database at {file}: file is not a"
        " database\n"
    )


@pytest.mark.parametrize("command", [["token", "list"], ["migrate"]], ids=" ".join)
def test_a_database_that_is_out_of_reach_is_told_without_its_password(
    run, monkeypatch, command
):
    url = "postgresql://gene:hunter2@127.0.0.1:1/gene"
    monkeypatch.setenv("SAFEGENE_REGISTRY_DATABASE_URL", url)

    code, out, told = run(*command)

    assert (code, out) == (1, "")
    assert "the database at postgresql://127.0.0.1:1/gene" in told
    assert "onnection refused" in told
    assert "hunter2" not in told
    assert len(told.splitlines()) == 1


ONE = "0f360000-0000-0000-0000-000000000000"
PUBLISHER = ("publisher", "add", "acme", "ci", "--issuer")


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("token", "create"), 2, "Missing option '--name'"),
        (("token", "create", "--name", ""), 2, "--name: expected 1 to 128"),
        (("token", "create", "--name", "a\n"), 2, "printable ASCII, got 'a\\n'"),
        (("token", "create", "--name", "a/b"), 2, "without --account names the acc"),
        (("token", "create", "--name", "x" * 129), 2, "--name: expected 1 to 128"),
        (
            ("token", "create", "--name", "x", "--account", "acme:ci"),
            *(2, "--account: expected"),
        ),
        (("token", "create", "--name", "x", "--days", "0"), 2, "not in the range"),
        (("token", "create", "--name", "x", "--days", "3651"), 2, "not in the range"),
        (("token", "create", "--name", "x", "--scope", "all"), 2, "is not one of"),
        (
            ("token", "create", "--name", "x", "--namespace", "no"),
            *(1, "There is no namespace no."),
        ),
        (("token", "list", "--account", "bob"), 1, "There is no account 'bob'; it is"),
        (("token", "revoke"), 2, "name one token by its ID, or all of an account"),
        (("token", "revoke", ONE, "--account", "ann"), 2, "name one token by its ID"),
        (("token", "revoke", "x"), 2, "'x' is not a valid UUID"),
        (("token", "revoke", ONE), 1, f"There is no token {ONE}."),
        (("token", "revoke", "--account", "bob"), 1, "There is no account 'bob'"),
        (("namespace", "create", "x"), 2, "Missing option '--owner'"),
        (
            ("namespace", "create", "Acme", "--owner", "ann"),
            *(1, "invalid namespace 'Acme': expected 1 to 64 of a-z"),
        ),
        (("namespace", "create", "x", "--owner", "bob"), 1, "made with its first"),
        (("namespace", "create", "acme", "--owner", "ann"), 1, "acme already"),
        (("namespace", "set", "acme"), 2, "nothing to change: give --visibility"),
        (("namespace", "set", "no", "--no-quota"), 1, "There is no namespace no."),
        (("namespace", "set", "acme", "--quota", "-1"), 2, "not in the range"),
        (("namespace", "set", "acme", "--quota", f"{2**63}"), 2, "not in the range"),
        (
            ("namespace", "set", "acme", "--quota", "1", "--no-quota"),
            *(2, "exclude each other"),
        ),
        (("member", "add", "acme", "ann"), 2, "Missing option '--role'"),
        (("member", "add", "acme", "ann", "--role", "king"), 2, "is not one of"),
        (("member", "add", "acme", "bob", "--role", "reader"), 1, "its first token"),
        (("member", "add", "acme", "ann", "--role", "reader"), 1, "the last owner"),
        (("member", "add", "no", "ann", "--role", "reader"), 1, "no namespace no."),
        (("member", "remove", "acme", "ann"), 1, "the last owner of acme; make"),
        (("member", "remove", "acme", "bob"), 1, "There is no account 'bob'"),
        (("member", "list", "no"), 1, "There is no namespace no."),
        (
            (*PUBLISHER, "https://other.test", "--claim", "sub=a"),
            *(1, f"OIDC_ISSUERS of the registry's settings names {ISSUER}, not this"),
        ),
        ((*PUBLISHER, ISSUER, "--claim", "sub"), 2, "expected NAME=VALUE, got 'sub'"),
        ((*PUBLISHER, ISSUER, "--claim", "ref=x"), 1, "must name a project: "),
        (("publisher", "remove", "acme", "ci"), 1, "no trusted publisher 'ci'"),
        (("serve", "--port", "70000"), 2, "70000 is not in the range"),
        (("serves",), 2, "No such command 'serves'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, tuple) else "",
)
def test_what_cannot_be_is_told_in_a_line_that_helps(
    run, place, monkeypatch, arguments, code, told
):
    monkeypatch.setenv("SAFEGENE_REGISTRY_OIDC_ISSUERS", ISSUER)

    ended, out, err = run(*arguments, *(place if arguments[0] != "serves" else ()))

    assert (ended, out) == (code, "")
    assert told in err
    if code == 1:
        assert err.startswith("safegene-registry: ")
        assert len(err.splitlines()) == 1


def test_reasons_name_the_file_and_leave_out_statements():
    missing = FileNotFoundError(2, "No such file or directory", "/srv/gene")
    busy = OSError(98, "cannot listen on 127.0.0.1 port 1: Address already in use")
    failed = OperationalError("SELECT secret", {"p": "hidden"}, Exception("is full"))

    assert reason_of(missing) == "/srv/gene: No such file or directory"
    assert reason_of(busy) == busy.strerror
    assert reason_of(failed) == "is full"
    assert reason_of(KeyError()) == "KeyError"


def test_a_directory_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")

    code, out, told = run(
        "token", "create", "--name", "ann", "--data", tmp_path / "file" / "data"
    )

    assert (code, out) == (1, "")
    assert told.endswith(f"{Path(tmp_path) / 'file' / 'data'}: Not a directory\n")
