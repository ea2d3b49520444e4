"""What goes wrong is told: the thing, expected, actual, what to do, and a code."""

import json
import os
import socket
import subprocess

import pytest
from support.safegene_command import COMMAND
from support.versions import llama_config, neox_config, write_version


@pytest.fixture(scope="module")
def registry_server(each_registry_server):
    """On every kind of backend."""
    return each_registry_server


@pytest.fixture
def published(safegene):
    """A version that is in the registry, and its namespace."""
    namespace = f"refusals-{os.urandom(4).hex()}"
    manifest = write_version(
        safegene.directory / "version", vector=f"{namespace}/guard"
    )
    safegene.must("push", "version")
    return manifest


def write_config(directory, config):
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))


def test_unknown_vector_and_version_are_not_found(safegene, published):
    """Exit code 3, with what was asked for."""
    for ref in ("nobody/nothing", f"{published.vector}@9", f"{published.vector}:gold"):
        ended = safegene.run("pull", ref)
        assert ended.code == 3
        assert str(ref.split("@")[0].split(":")[0]) in ended.err
        assert "safegene search" in ended.err
        assert ended.out == ""


def test_wrong_model_is_refused_before_its_files_are_fetched(safegene, published):
    """Exit code 5, module, expected and actual; no file gets into the cache."""
    write_config(safegene.directory / "neox", neox_config())
    write_config(safegene.directory / "deeper", llama_config(layers=3))

    other = safegene.run("pull", published.identity, "--model", "neox", "--json")
    deeper = safegene.run("pull", published.identity, "--model", "deeper")

    assert other.code == deeper.code == 5
    reasons = other.document["error"]["reasons"]
    assert reasons[0]["expected"] == "llama"
    assert reasons[0]["actual"] == "gpt_neox"
    assert "layers: the vector is for 2, the model has 3" in deeper.err
    assert "safegene compatible" in deeper.err
    # Publishing has remembered its uploads there.
    kept = {path.name for path in (safegene.directory / "cache").glob("*")}
    assert kept <= {"uploads"}


def test_weights_that_cannot_be_compared_need_an_override(safegene, published):
    """A config alone may pull, but nothing is applied without a word."""
    write_config(safegene.directory / "config-only", llama_config())

    pulled = safegene.run("pull", published.identity, "--model", "config-only")
    applied = safegene.run(
        *("apply", published.identity, "--model", "config-only", "--out", "adapter")
    )
    forced = safegene.run(
        *("apply", published.identity, "--model", "config-only", "--out", "adapter"),
        "--allow-unverified-lineage",
    )

    assert pulled.code == 0, pulled.err
    assert applied.code == 5
    assert "weights were not compared" in applied.err
    assert forced.code == 0, forced.err
    assert (safegene.directory / "adapter" / "adapter_config.json").is_file()


def test_version_that_is_taken_by_other_bytes(safegene, published):
    """Exit code 1; what is published stays as it is."""
    write_version(safegene.directory / "other", vector=str(published.vector), seed=1)

    ended = safegene.run("push", "other", "--json")

    assert ended.code == 1
    assert ended.document["error"]["code"] == "version-exists"
    assert "publish under a new one" in ended.err
    assert safegene.must("pull", published.identity)["digest"] == str(published.digest)


@pytest.mark.parametrize("token", ["", f"sgt_{'x' * 43}"], ids=["none", "unknown"])
def test_publishing_needs_a_token_that_the_registry_knows(safegene, token):
    """Exit code 4, and where the token goes."""
    write_version(safegene.directory / "version", vector="refusals/unauthorized")

    ended = safegene.having(SAFEGENE_TOKEN=token).run("push", "version")

    assert ended.code == 4
    assert "SAFEGENE_TOKEN" in ended.err
    assert token == "" or token not in ended.err
    assert safegene.run("pull", "refusals/unauthorized").code == 3


def test_dead_server_is_named_with_what_to_do(safegene):
    """Exit code 6, soon."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    ended = safegene.having(SAFEGENE_URL=url).run("search", "--json")

    assert ended.code == 6
    assert ended.document["error"]["code"] == "unreachable"
    assert url in ended.err
    assert "safegene-registry serve" in ended.err


def test_server_that_is_no_registry_is_told_apart(safegene, registry_server):
    """A wrong path of a right server answers problems, too."""
    lost = safegene.having(SAFEGENE_URL=f"{registry_server.url}/elsewhere")

    ended = lost.run("search")

    assert ended.code == 3
    assert "/elsewhere" in ended.err


@pytest.mark.parametrize("change", ["truncated", "flipped"])
def test_damaged_tensor_file_is_not_published(safegene, change):
    """Exit code 5, and the file's name, before anything is sent."""
    directory = safegene.directory / "version"
    write_version(directory, vector="refusals/damaged")
    path = directory / "adapter_model.safetensors"
    data = bytearray(path.read_bytes())
    if change == "truncated":
        del data[-100:]
    else:
        data[-100] ^= 1
    path.write_bytes(data)

    ended = safegene.run("push", "version")

    assert ended.code == 5
    assert "adapter_model.safetensors" in ended.err
    assert "expected" in ended.err
    assert safegene.run("inspect", "refusals/damaged").code == 3


def test_typing_errors_cost_no_loading_of_a_model(safegene):
    """Exit code 2 for what can be known at once."""
    pair = ("--aligned", "a", "--degraded", "b", "--out", "v")
    rows = ("--harmful", "none.jsonl", "--lookalike", "x", "--task", "x")
    for arguments in (
        ("extract", *pair, "--name", "guard", "--version", "1"),
        ("extract", *pair, "--name", "acme/guard", "--version", "one"),
        ("recalibrate", "acme/guard", "--model", "m", *rows, "--out", "c"),
        ("compatible", "nowhere"),
        ("pull", "acme/guard", "--out", safegene.directory.parent),
    ):
        ended = safegene.run(*arguments)
        assert ended.code == 2, (arguments, ended)
        assert ended.err.startswith("error: ")


def test_reader_that_goes_away_is_no_bug(safegene):
    """`safegene … | head` ends without a word."""
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(
        [COMMAND, "search"],
        env={**os.environ, **safegene.environment},
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(write)

    _, err = process.communicate(timeout=120)

    assert process.returncode == 1
    assert err == ""
