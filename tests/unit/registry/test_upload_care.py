"""Publishing through the interface: leftovers, expiry, families and other tokens."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from safegene_registry.sweeping import remove_leftovers
from support.registry_app import AppRegistry, Clock
from support.stores import write_behind
from support.versions import llama_config, write_version

VERSION_URL = "/v1/vectors/acme/refusal/versions/1.0.0"


def put_clock(registry: AppRegistry) -> Clock:
    clock = Clock()
    registry.app.state.services = dataclasses.replace(registry.services, now=clock)
    return clock


def test_uploads_expire_and_are_cleared_away(registry, tmp_path):
    clock = put_clock(registry)
    upload = registry.send(write_version(tmp_path / "v"), tmp_path / "v")

    clock.ahead = timedelta(hours=25)
    gone = registry.client.get(f"/v1/uploads/{upload['id']}", headers=registry.auth)
    refused = registry.complete(upload)
    registry.open_upload(write_version(tmp_path / "w", seed=3).to_bytes())

    assert (gone.status_code, refused.status_code) == (404, 404)
    assert "expired" in refused.json()["detail"]
    assert registry.staged_files() == []


def test_starting_clears_away_what_a_crash_left(registry, tmp_path):
    clock = put_clock(registry)
    expired = registry.send(write_version(tmp_path / "v"), tmp_path / "v")
    stray = f"staging/{uuid4()}/half.part"
    write_behind(registry.services.store, stray, b"half")
    clock.ahead = timedelta(hours=20)
    running = registry.send(write_version(tmp_path / "w", seed=3), tmp_path / "w")
    clock.ahead = timedelta(hours=25)

    remove_leftovers(registry.services)

    left = {path.parent.name for path in registry.staged_files()}
    assert left == {running["id"]}
    assert expired["id"] not in left


def test_what_may_still_be_written_is_no_stray(registry):
    fresh = f"staging/{uuid4()}/just-begun"
    write_behind(registry.services.store, fresh, b"half")

    remove_leftovers(registry.services)

    assert [str(path) for path in registry.staged_files()] == [fresh]


def test_each_family_keeps_its_own_newest(registry, tmp_path):
    small, large = llama_config(layers=2), llama_config(layers=3)
    for number, (version, config) in enumerate(
        [("1.0.0", small), ("2.0.0", large), ("1.1.0", small), ("1.2.0rc1", small)]
    ):
        place = tmp_path / version
        manifest = write_version(place, version=version, config=config, seed=number)
        assert registry.publish(manifest, place).status_code == 201

    def fits(config):
        body = {"config": config}
        answer = registry.client.post("/v1/compatibility", json=body).json()
        return [match["version"] for match in answer["fits"]]

    assert fits(small) == ["1.1.0"]
    assert fits(large) == ["2.0.0"]
    summary = registry.client.get("/v1/vectors/acme/refusal").json()
    assert summary["latest"]["version"] == "2.0.0"
    assert summary["version_count"] == 4


def test_uploads_of_one_token_do_not_disturb_each_other(
    registry: AppRegistry, tmp_path: Path
):
    manifest = write_version(tmp_path / "v")
    given_up = registry.send(manifest, tmp_path / "v")
    kept = registry.send(manifest, tmp_path / "v")

    registry.client.delete(f"/v1/uploads/{given_up['id']}", headers=registry.auth)

    assert registry.complete(kept).status_code == 201
