"""A lock file names one version a line, and nothing that may mean another tomorrow."""

import pytest
from safegene_client.advisories import read_lock

from safegene.artifact.reference import parse_reference
from safegene.errors import InvalidDataError

DIGEST = "sha256:" + "a" * 64


def test_every_line_names_a_version(tmp_path):
    lock = tmp_path / "safegene.lock"
    lock.write_text(f"# ours\n\nacme/guard@1.0  # since May\nacme/other@{DIGEST}\n")

    assert read_lock(lock) == [
        parse_reference("acme/guard@1.0.0"),
        parse_reference(f"acme/other@{DIGEST}"),
    ]


@pytest.mark.parametrize(
    "line", ["acme/guard", "acme/guard@~=1.0", "acme/guard:stable"]
)
def test_what_may_be_another_version_tomorrow_is_refused(tmp_path, line):
    lock = tmp_path / "safegene.lock"
    lock.write_text(f"acme/guard@1.0\n{line}\n")

    with pytest.raises(InvalidDataError, match=r"safegene\.lock, line 2: .*tomorrow"):
        read_lock(lock)


@pytest.mark.parametrize("content", [b"guard@1.0\n", b"\xff\xfe\n"])
def test_what_is_no_lock_file_is_named(tmp_path, content):
    lock = tmp_path / "safegene.lock"
    lock.write_bytes(content)

    with pytest.raises(InvalidDataError, match=r"safegene\.lock"):
        read_lock(lock)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InvalidDataError, match=r"nothing\.lock: cannot be read"):
        read_lock(tmp_path / "nothing.lock")
