"""A pair of keys is made whole, for its owner's eyes, and never over another file."""

import os
import stat

import pytest
from safegene_client.keys import new_key_pair

from safegene.artifact.attestation.keys import PrivateKey, PublicKey
from safegene.errors import LocalStorageError, UsageError


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_what_one_signs_the_other_checks(tmp_path, umask):
    made = new_key_pair(tmp_path / "key.pem")

    key = PrivateKey.from_pem(made.private.read_bytes())
    public = PublicKey.from_pem(made.public.read_text())
    assert (made.private, made.public) == (tmp_path / "key.pem", tmp_path / "key.pub")
    assert public == key.public
    assert made.public.read_text() == public.pem
    assert made.key_id == public.key_id
    assert public.verifies(key.sign(b"words"), b"words")
    assert mode(made.private) == 0o600
    assert mode(made.public) == 0o644 & ~umask


def test_every_pair_is_another(tmp_path):
    one, other = (new_key_pair(tmp_path / f"{n}.pem") for n in "ab")

    assert one.key_id != other.key_id


def test_a_password_encrypts_it(tmp_path):
    made = new_key_pair(tmp_path / "key.pem", password="open sesame")

    data = made.private.read_bytes()
    assert b"ENCRYPTED" in data
    key = PrivateKey.from_pem(data, b"open sesame")
    assert key.public.key_id == made.key_id
    with pytest.raises(UsageError):
        PrivateKey.from_pem(data)
    with pytest.raises(UsageError):
        PrivateKey.from_pem(data, b"wrong")


def test_an_empty_password_is_none(tmp_path):
    with pytest.raises(UsageError, match="cannot be empty"):
        new_key_pair(tmp_path / "key.pem", password="")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["key.pem", "key.pub"])
def test_nothing_is_overwritten(tmp_path, there):
    (tmp_path / there).write_text("mine")

    with pytest.raises(UsageError, match=rf"{there}: there is a file already"):
        new_key_pair(tmp_path / "key.pem")

    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_nor_is_what_a_link_leads_to(tmp_path):
    """Also of one that leads nowhere: whoever has put it there wants the key."""
    (tmp_path / "key.pem").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UsageError, match="there is a file already"):
        new_key_pair(tmp_path / "key.pem")

    assert not (tmp_path / "elsewhere").exists()


def test_the_two_are_two_files(tmp_path):
    with pytest.raises(UsageError, match="another file for the public key"):
        new_key_pair(tmp_path / "key.pub")

    assert list(tmp_path.iterdir()) == []


def test_there_is_no_half_of_a_pair(tmp_path):
    with pytest.raises(LocalStorageError, match="no key was made"):
        new_key_pair(tmp_path / "key.pem", tmp_path / "missing" / "key.pub")

    assert list(tmp_path.iterdir()) == []
