"""docker-compose.yml: no secret has a default, and the parts fit each other."""

import json
import re
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest
import yaml
from pydantic import TypeAdapter
from safegene_registry.settings import Settings
from support.sources import ROOT

from scripts.deployment.arrangement import PROXY, REPLICAS, SERVERS, STEPS
from scripts.deployment.compose import FILE, VARIABLE, interpolate, read_services
from scripts.services.processes import ServiceError

SECRETS = {
    "POSTGRES_PASSWORD": "p" * 24,
    "S3_ACCESS_KEY_ID": "a" * 20,
    "S3_SECRET_ACCESS_KEY": "s" * 40,
    "METRICS_TOKEN": "m" * 32,
}
PREFIX = "SAFEGENE_REGISTRY_"
TEMPLATE = ROOT / "deployment" / "nginx.conf.template"

SCHEMA = Path(__file__).with_name("compose-spec.json")
"""Of Compose files: `schema/compose-spec.json` of github.com/compose-spec/compose-spec
(Apache-2.0), as it was in November 2026."""


@pytest.fixture
def services():
    return read_services(SECRETS)


def test_the_file_is_one_that_compose_reads():
    """A key that is misspelled would be an error there, and nowhere else."""
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text("utf-8")))
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    found = [f"{e.instance_path}: {e.message}" for e in validator.iter_errors(document)]
    document["services"]["s3"]["helthcheck"] = {}

    assert found == []
    assert not validator.is_valid(document)


def test_variables_without_a_default_are_the_secrets_and_only_they():
    found = VARIABLE.finditer(FILE.read_text(encoding="utf-8"))
    kinds = {(match["name"], match["kind"]) for match in found}

    assert {name for name, kind in kinds if kind == ":?"} == set(SECRETS)
    assert {name for name, kind in kinds if kind != ":?"} == {
        "SAFEGENE_PUBLIC_URL",
        "SAFEGENE_S3_PUBLIC_URL",
        "SAFEGENE_TRUSTED_PROXY",
        "SAFEGENE_PORT",
        "SAFEGENE_S3_PORT",
    }


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("value", [None, ""])
def test_it_refuses_to_start_without_a_secret(name, value):
    given = {**SECRETS, name: value} if value is not None else dict(SECRETS)
    if value is None:
        del given[name]
    text = FILE.read_text(encoding="utf-8")

    with pytest.raises(ServiceError, match=f"{name} is not set"):
        interpolate(text, given)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${X} b", "a 1 b"),
        ("${X:-2}", "1"),
        ("${Y:-http://h:1}", "http://h:1"),
        ("$host ${X:?no}", "$host 1"),
    ],
)
def test_variables_are_put_in_as_compose_does(text, expected):
    assert interpolate(text, {"X": "1"}) == expected


def test_the_script_stands_for_every_service(services):
    """What is added to the file has to be added to the plain processes, too."""
    assert set(services) == {*SERVERS, *STEPS, *REPLICAS, PROXY}


def test_every_setting_is_one_that_the_registry_knows(services):
    environment = services[REPLICAS[0]]["environment"]
    own = {key for key in environment if key.startswith(PREFIX)}

    assert {key.removeprefix(PREFIX).lower() for key in own} <= set(
        Settings.model_fields
    )
    assert len(own) > 8


def test_steps_and_replicas_have_the_same_settings(services):
    environments = [services[name]["environment"] for name in (*STEPS, *REPLICAS)]

    assert all(each == environments[0] for each in environments)


def test_replicas_are_alike_and_wait_for_the_steps(services):
    first, second = (services[name] for name in REPLICAS)

    assert first == second
    assert first["depends_on"] == {
        name: {"condition": "service_completed_successfully"} for name in STEPS
    }
    assert services["migrate"]["command"] == ["migrate"]


def test_a_replica_is_given_the_time_that_it_takes_to_stop(services):
    replica = services[REPLICAS[0]]
    time = TypeAdapter(timedelta)
    needed = sum(
        (
            time.validate_python(replica["environment"][PREFIX + name])
            for name in ("DRAIN_DELAY", "SHUTDOWN_TIMEOUT")
        ),
        timedelta(0),
    )

    assert timedelta(seconds=int(replica["stop_grace_period"][:-1])) > needed


def test_the_proxys_template_takes_what_its_service_sets(services):
    template = TEMPLATE.read_text(encoding="utf-8")

    assert set(re.findall(r"\$\{(\w+)\}", template)) == set(
        services[PROXY]["environment"]
    )


def test_the_proxy_looks_up_names_again(services):
    """A container that is replaced gets another address than nginx began with."""
    template = TEMPLATE.read_text(encoding="utf-8")
    environment = services[PROXY]["environment"]

    servers = re.findall(r"^ +server \$.*;$", template, re.MULTILINE)
    assert len(servers) == len(REPLICAS) + 1
    assert all(line.endswith(" ${RESOLVE};") for line in servers)
    for begin in ("upstream ", "    zone "):
        assert len(re.findall(f"^{begin}", template, re.MULTILINE)) == 2
    assert environment["RESOLVE"] == "resolve"
    version = services[PROXY]["image"].partition(":")[2]
    assert tuple(map(int, version.split("."))) >= (1, 28), "nginx 1.27.3 can do that"


def test_the_image_is_built_once():
    """Compose builds side by side, and one of two that give an image its name fails."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))

    building = {n for n, each in document["services"].items() if "build" in each}

    assert building == {"migrate"}


def test_what_goes_on_has_a_health_check(services):
    """Steps end; whoever waits for them sees how."""
    lasting = {name: each for name, each in services.items() if name not in STEPS}

    for name, each in lasting.items():
        check = each.get("healthcheck", {})
        assert check.get("test", [""])[0] == "CMD", f"{name} has no health check"
        assert {"interval", "timeout"} <= check.keys()
    waited_for = {
        (needed, how["condition"])
        for each in services.values()
        for needed, how in each.get("depends_on", {}).items()
    }
    assert waited_for == {
        *((name, "service_completed_successfully") for name in STEPS),
        *((name, "service_healthy") for name in (*SERVERS, *REPLICAS)),
    }


@pytest.mark.parametrize("name", [*SERVERS, *REPLICAS, PROXY])
def test_no_secret_is_written_into_the_file(name):
    """What a variable is put into is the file's; whatever has no variable is no key."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    environment = document["services"][name].get("environment", {})
    secret = re.compile("PASSWORD|SECRET|KEY|TOKEN|DATABASE_URL")

    for key, value in environment.items():
        if secret.search(key):
            assert ":?" in value, f"{name} sets {key} without asking for it"


def test_every_image_is_pinned_to_a_version_or_is_ours(services):
    images = {each["image"] for each in services.values()}

    assert "safegene-registry" in images
    others = images - {"safegene-registry"}
    assert all(re.search(r":\d+(\.\d+)*$", image) for image in others)


def test_ports_are_open_to_this_machine_only(services):
    ports = [port for each in services.values() for port in each.get("ports", [])]

    assert ports == ["127.0.0.1:8080:8080", "127.0.0.1:8333:8333"]


def test_files_that_are_mounted_are_there():
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    mounted = [each["file"] for each in document["configs"].values() if "file" in each]

    assert all((ROOT / name).is_file() for name in mounted)
    used = {
        config["source"]
        for each in document["services"].values()
        for config in each.get("configs", [])
    }
    assert used == set(document["configs"])
