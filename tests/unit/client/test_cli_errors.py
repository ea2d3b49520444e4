"""Exit codes, row by row, and what a failing command prints."""

import json

import click
import pytest
from safegene_client.cli import main
from safegene_client.cli.errors import EXIT_CODES, error_document, exit_code, sentence

from safegene import errors
from safegene.artifact.compatibility import Reason

DIGEST = {"expected": "sha256:a", "actual": "sha256:b"}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.exceptions.Abort(), 130),
        (click.UsageError("no such option"), 2),
        (click.FileError("x"), 1),
        (errors.UsageError("x"), 2),
        (errors.InvalidReferenceError("x"), 2),
        (errors.InvalidDataError("x"), 2),
        (errors.RankError("x"), 2),
        (errors.UnsupportedFamilyError("x"), 2),
        (errors.ArtifactError("x"), 5),
        (errors.DigestMismatchError("x", **DIGEST), 5),
        (errors.SizeMismatchError("x", expected=1, actual=2), 5),
        (errors.ManifestError("x", pointer="/rank"), 5),
        (errors.UnsupportedFormatError("x", version=2), 5),
        (errors.TensorFileError("x"), 5),
        (errors.ShapeMismatchError("x", module="m", expected=(1,), actual=(2,)), 5),
        (errors.NonFiniteTensorError("x", module="m"), 5),
        (errors.CompatibilityError("x"), 5),
        (errors.LocalStorageError("x"), 1),
        (errors.RegistryError("x", status=500), 1),
        (errors.NotFoundError("x", status=404), 3),
        (errors.GoneError("x", status=410), 3),
        (errors.AlreadyExistsError("x", status=409), 1),
        (errors.PreconditionFailedError("x", status=412), 1),
        (errors.AuthenticationError("x", status=401), 4),
        (errors.ForbiddenError("x", status=403), 4),
        (errors.RejectedError("x", status=422), 5),
        (errors.TransportError("x", retry_after=1.0), 6),
        (errors.SafeGeneError("x"), 1),
        (ZeroDivisionError("x"), 1),
    ],
    ids=lambda value: f"{type(value).__module__}.{type(value).__name__}",
)
def test_exit_code_of_every_error(error, code):
    assert exit_code(error) == code


def test_every_error_of_the_tree_has_been_thought_of():
    """A new branch of the tree must get a row of its own, or fit one on purpose."""
    rows = [kind for kind, _ in EXIT_CODES]
    branches = [
        kind
        for parent in (errors.SafeGeneError, errors.RegistryError)
        for kind in parent.__subclasses__()
    ]

    assert [kind for kind in branches if kind not in rows] == []


def test_no_row_hides_a_later_one():
    for at, (kind, _) in enumerate(EXIT_CODES):
        assert not any(issubclass(kind, earlier) for earlier, _ in EXIT_CODES[:at])


def test_document_holds_slug_sentence_facts_and_reasons():
    reason = Reason(code="shape-differs", detail="m: expected 1x2, got 2x1", module="m")
    compatibility = errors.CompatibilityError("no", reasons=(reason,))
    digest = errors.DigestMismatchError("changed", **DIGEST)

    assert error_document(compatibility)["error"]["reasons"] == [
        {"code": "shape-differs", "detail": "m: expected 1x2, got 2x1", "module": "m"}
    ]
    assert error_document(digest)["error"] == {
        "code": "digest-mismatch",
        "detail": "changed",
        "context": DIGEST,
    }
    assert error_document(KeyboardInterrupt())["error"]["code"] == "interrupted"
    assert error_document(ZeroDivisionError("x"))["error"]["code"] == "internal"
    assert error_document(click.UsageError("x"))["error"] == {
        "code": "usage",
        "detail": "x",
    }


def test_documents_are_json_whatever_the_facts_are():
    error = errors.RegistryError("x", path=object(), status=None)

    assert "path" in json.dumps(error_document(error))
    assert "status" not in error_document(error)["error"]["context"]


def test_unforeseen_error_says_what_to_do():
    assert sentence(KeyError("x")).startswith("KeyError: 'x'; run again with -v")


def test_wrong_usage_tells_where_help_is(capsys):
    code = main(["pull"])

    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert "Missing argument 'REF'" in told.err
    assert "see safegene pull --help" in told.err


def test_no_command_at_all_is_usage_and_shows_the_commands(capsys):
    code = main([])

    assert code == 2
    assert "recalibrate" in capsys.readouterr().err


def test_error_with_json_is_one_document_on_stdout(capsys):
    code = main(["inspect", "acme/../guard", "--json"])

    told = capsys.readouterr()
    assert code == 2
    assert json.loads(told.out)["error"]["code"] == "invalid-reference"
    assert told.err.startswith("error: ")
    assert len(told.err.splitlines()) == 1


def test_error_without_json_leaves_stdout_alone(capsys, tmp_path):
    code = main(["push", str(tmp_path)])

    told = capsys.readouterr()
    assert code == 5
    assert told.out == ""
    assert str(tmp_path) in told.err


def test_verbose_shows_where_it_happened(capsys):
    main(["inspect", "no reference", "-vv"])

    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["pull", "-h"]])
def test_asking_for_help_is_no_failure(capsys, arguments):
    assert main(arguments) == 0
    assert "safegene" in capsys.readouterr().out
