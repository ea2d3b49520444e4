"""Where the settings come from, and which make no sense."""

from pathlib import Path

import pytest
from safegene_client.settings import DEFAULT_URL, Settings

from safegene.errors import UsageError


def test_defaults_are_good_for_a_laptop():
    found = Settings.read(environment={})

    assert found.url == DEFAULT_URL
    assert found.token is None
    assert found.cache.name == "safegene"
    assert found.timeout == 30.0


def test_environment_wins_over_defaults_and_arguments_over_both(tmp_path):
    environment = {
        "SAFEGENE_URL": "https://registry.example/base/",
        "SAFEGENE_TOKEN": "sgt_env",
        "SAFEGENE_CACHE": str(tmp_path),
        "SAFEGENE_TIMEOUT": "3.5",
    }

    from_environment = Settings.read(environment=environment)
    from_arguments = Settings.read(
        url="http://other:81", token="sgt_arg", timeout=1, environment=environment
    )

    assert from_environment.url == "https://registry.example/base"
    assert from_environment.token == "sgt_env"
    assert from_environment.cache == tmp_path
    assert from_environment.timeout == 3.5
    assert from_arguments.url == "http://other:81"
    assert from_arguments.token == "sgt_arg"
    assert from_arguments.timeout == 1


def test_cache_may_start_with_a_tilde():
    found = Settings.read(cache="~/somewhere", environment={})

    assert found.cache == Path.home() / "somewhere"


@pytest.mark.parametrize(
    "url",
    [
        "registry.example",
        "ftp://registry.example",
        "http://",
        "http://host:port",
        "http://host:0",
        "http://host/?query=1",
        "http://host/\nSet-Cookie: x",
    ],
)
def test_senseless_addresses_are_refused_by_variable(url):
    with pytest.raises(UsageError, match="SAFEGENE_URL"):
        Settings.read(url=url, environment={})


def test_password_in_the_address_is_refused_and_not_repeated():
    with pytest.raises(UsageError, match="SAFEGENE_TOKEN") as caught:
        Settings.read(url="http://me:hunter2@host", environment={})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("token", ["sgt_a\nb", "sgt_ä", "sgt_\x00"])
def test_token_that_no_header_can_carry_is_refused_and_not_repeated(token):
    with pytest.raises(UsageError, match="SAFEGENE_TOKEN") as caught:
        Settings.read(token=token, environment={})

    assert token not in str(caught.value)


@pytest.mark.parametrize("value", ["soon", "0", "-1", "nan", "inf"])
def test_senseless_timeouts_are_refused(value):
    with pytest.raises(UsageError, match="SAFEGENE_TIMEOUT"):
        Settings.read(environment={"SAFEGENE_TIMEOUT": value})


def test_token_stays_out_of_the_representation():
    assert "sgt_secret" not in repr(Settings.read(token="sgt_secret", environment={}))
