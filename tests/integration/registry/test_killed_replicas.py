"""A replica gets SIGKILL at every step of publishing, beside another one that lives.

Two publishers of different vectors get to the step, then the replica dies. What the
other replica shows is a whole version or none. The first publisher goes on where it
was, through the other replica; what the second has left is swept away before it comes
back. Real processes on PostgreSQL and an S3 server; what makes a replica die where it
shall is in `support.doomed_replica`.
"""

import dataclasses
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from safegene_client import Registry
from safegene_client.uploads import upload_record
from safegene_registry.models import Blob, Completion, Removal, Reservation, Upload
from safegene_registry.s3.keys import final_key
from safegene_registry.services import Services, open_services
from safegene_registry.settings import Settings
from safegene_registry.sweeping import remove_leftovers
from sqlalchemy import Interval, literal, select, update
from support.backends import environment_of
from support.doomed_replica import Call, Nursery, nursery
from support.registry_app import Clock
from support.registry_server import running_registry
from support.replicas import TIMEOUT, Publisher, client_of
from support.s3_stores import MIB
from support.versions import llama_config, write_version

from safegene.artifact.digest import Digest
from safegene.artifact.manifest import FILE_NAMES, TENSORS_NAME
from safegene.errors import AlreadyExistsError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LARGE = {"rank": 512, "config": llama_config(hidden=1280, layers=1)}
"""A little more than a part of the least size."""


@dataclass(frozen=True)
class Row:
    """A step at which a replica dies, and what is to be seen then."""

    last: Call | str
    """A call in the replica, or a step of the publishers' own."""
    visible: bool = False
    """Whether the versions are published."""
    version: dict[str, Any] = dataclasses.field(default_factory=dict)
    """Of what kind they are."""
    through: bool = False
    """Whether blobs go through the replica."""
    background: bool = False
    """Whether they are verified in the background."""
    damaged: bool = False
    """Whether a failing store has left other bytes where their tensors go."""
    waits: bool = False
    """Whether the other replica has to be sure first that the dead one is dead."""


def before(function: str, number: int = 1, **more: Any) -> Row:
    return Row(Call("before", function, number), **more)


def after(function: str, number: int = 1, callers: int = 2, **more: Any) -> Row:
    return Row(Call("after", function, number, callers), **more)


FILES = len(FILE_NAMES)
BACKGROUND = {"background": True, "waits": True}
ROWS = {
    # Announcing
    "upload row not committed": after("publishing_repository:add_upload"),
    "upload row committed": before("uploads:upload_detail"),
    "address signed": after("s3.direct:S3DirectTransfer.address"),
    "transfer in parts begun": after(
        "s3.direct:S3DirectTransfer.begin_parts", version=LARGE
    ),
    "transfer in parts written down": after("sending:keep_transfer", version=LARGE),
    "addresses given": Row("announced"),
    # Sending
    "half a blob sent to the store": Row("half sent"),
    "half a blob sent to the replica": Row("half sent", through=True),
    "blob received by the replica": before(
        "s3.writer:S3BlobWriter.finish", through=True
    ),
    "blob staged by the replica": after("s3.writer:S3BlobWriter.finish", through=True),
    "address of a part signed": after(
        "s3.direct:S3DirectTransfer.part_address", version=LARGE
    ),
    "part addressed": Row("part addressed", version=LARGE),
    "part sent": Row("part sent", version=LARGE),
    "some blobs sent": Row("blob sent"),
    "all blobs sent": Row("all sent"),
    # Completing
    "parts put together": after("s3.direct:S3DirectTransfer.assemble", version=LARGE),
    "nothing copied": before("s3.store:S3BlobStore.promote"),
    "one blob copied": after("s3.store:S3BlobStore.promote"),
    "all blobs copied": after("s3.store:S3BlobStore.promote", FILES),
    "read again in part": after("s3.reading:ObjectReader.read", 3),
    "damaged blob sealed": after("s3.store:S3BlobStore._copy", FILES + 1, damaged=True),
    "damaged blob replaced": after(
        "s3.store:S3BlobStore._copy", FILES + 2, damaged=True
    ),
    "hashed again": after("publishing:verified_tags"),
    # One of them waits for the other's transaction: they share a blob.
    "version row written": after("publishing_repository:add_version", callers=1),
    "before the commit": after("publishing:version_detail", callers=1),
    "after the commit": before("s3.store:S3BlobStore.discard", visible=True),
    "clearing begun": before("s3.bucket:S3Bucket.multiparts", visible=True),
    "staging cleared": after("s3.store:S3BlobStore.discard", visible=True),
    "before the answer": after("completion:complete_upload", visible=True),
    # Completing in the background
    "claimed": after("completion:take_claim", **BACKGROUND),
    "hashed again in the background": after("publishing:verified_tags", **BACKGROUND),
    "published in the background": before(
        "completion:give_up", background=True, visible=True
    ),
}


@dataclass(frozen=True)
class World:
    """A registry with a replica that lives, and more of them to come."""

    url: str
    token: str
    nursery: Nursery
    services: Services
    """Of its database and its store, in this process."""

    def client(self) -> httpx.Client:
        return client_of(self.url, self.token)


@pytest.fixture(scope="module")
def world(shared_parts, tmp_path_factory):
    settings = {**shared_parts, "s3_part_bytes": 5 * MIB}
    environment = environment_of(settings)
    with (
        running_registry(
            tmp_path_factory.mktemp("living"), environment=environment
        ) as living,
        nursery(environment) as forked,
    ):
        services = open_services(Settings(**settings))
        yield World(living.url, living.token, forked, services)
        services.database.dispose()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_killed_replica_leaves_nothing_half_done(world, tmp_path, row):
    """Whatever it was doing; and publishing again succeeds, at once or much later."""
    number = list(ROWS.values()).index(row)
    # Every file is new to the registry, and the two versions share one.
    kind = {"base_model": f"acme/base-{number}", **row.version}
    places = [tmp_path / name for name in ("first", "second")]
    manifests = [
        write_version(
            place, vector=f"killed/at-{number}-{at}", seed=2 * number + at, **kind
        )
        for at, place in enumerate(places)
    ]

    if row.damaged:
        damage(world.services, manifests)

    uploads = publish_and_kill(world, row, manifests, places, tmp_path)

    with world.client() as client:
        for manifest, place in zip(manifests, places, strict=True):
            check_seen(client, manifest, place, visible=row.visible)
        if row.waits:
            minutes_pass(world.services)
        publish_again(world, manifests[0], places[0], tmp_path, upload=uploads[0])
        check_seen(client, manifests[0], places[0], visible=True)

        sweep_in_days(world.services)
        check_seen(client, manifests[1], places[1], visible=row.visible)
        publish_again(world, manifests[1], places[1], tmp_path, upload=uploads[1])
        check_seen(client, manifests[1], places[1], visible=True)
        sweep_in_days(world.services)


TAKING_BACK = {
    "removal written down": before("removals:carry_out").last,
    "blob removed": after("s3.bucket:S3Bucket.delete_once").last,
}
"""What a refused publisher has promoted goes at once; see `removals`."""


@pytest.mark.parametrize("call", TAKING_BACK.values(), ids=TAKING_BACK)
def test_a_replica_killed_while_it_takes_blobs_back(world, tmp_path, call):
    """Whoever needs one of them is told to wait, and gets it when it is safe."""
    number = list(TAKING_BACK.values()).index(call)
    vector = f"killed/taken-{number}"
    places = [tmp_path / name for name in ("winner", "loser", "heir")]
    winner = write_version(places[0], vector=vector, seed=900 + number)
    loser = write_version(places[1], vector=vector, seed=910 + number)
    heir = write_version(places[2], vector=f"{vector}-heir", seed=910 + number)
    (tmp_path / "replica").mkdir()
    alone = dataclasses.replace(call, callers=1)

    with (
        world.nursery.replica(tmp_path / "replica", alone) as replica,
        world.client() as client,
        client_of(replica.url, world.token) as dying,
    ):
        refused = Publisher(dying, loser, places[1])
        refused.open()
        refused.send()
        assert Publisher(client, winner, places[0]).publish().status_code == 201
        with pytest.raises(httpx.RemoteProtocolError):
            refused.complete()
        replica.wait_until_dead()

        waiting = Publisher(client, heir, places[2])
        early = waiting.publish()
        check_seen(client, winner, places[0], visible=True)
        check_seen(client, heir, places[2], visible=False)
        again = refused_by(world, places[1], tmp_path)
        minutes_pass(world.services)
        late = waiting.complete()
        check_seen(client, heir, places[2], visible=True)

    assert early.status_code == 503
    assert int(early.headers["retry-after"]) > 0
    assert again == 409
    assert late.status_code == 201, late.text
    sweep_in_days(world.services)


def refused_by(world, place, tmp_path):
    """With what status a publisher is refused."""
    cache = tmp_path / "cache of the refused"
    with (
        Registry(world.url, token=world.token, cache=cache, timeout=TIMEOUT) as client,
        pytest.raises(AlreadyExistsError) as caught,
    ):
        client.publish(place)
    return caught.value.status


def damage(services, manifests):
    """Put other bytes where the tensors of these versions will go."""
    for manifest in manifests:
        entry = manifest.file(TENSORS_NAME)
        key = final_key(Digest.parse(entry.digest))
        services.store.bucket.put(key, bytes(entry.size))


def publish_and_kill(world, row, manifests, places, tmp_path):
    """Have both publishers get to the step; the ids of their uploads, if known."""
    settings = {"background_bytes": 0} if row.background else {}
    (tmp_path / "replica").mkdir()
    inside = isinstance(row.last, Call)
    with (
        world.nursery.replica(
            tmp_path / "replica",
            row.last if inside else None,
            environment_of(settings),
        ) as replica,
        ThreadPoolExecutor(len(places)) as pool,
    ):
        everybody = threading.Barrier(len(places), replica.kill)
        publishers = [
            Publisher(client_of(replica.url, world.token), manifest, place, row.through)
            for manifest, place in zip(manifests, places, strict=True)
        ]
        for publisher in publishers:
            if not inside:
                publisher.step = at_first(row.last, everybody)
        assert list(pool.map(answer_to, publishers)) == [None, None]
        replica.wait_until_dead()
        said = replica.log.read_text(encoding="utf-8")
    if inside:
        assert f"killed {row.last.when} {row.last.function}" in said
    return [publisher.upload.get("id") for publisher in publishers]


def at_first(name, everybody):
    """What waits for everybody when a publisher first comes to a step."""
    seen = []

    def step(reached):
        if reached == name and not seen:
            seen.append(reached)
            everybody.wait(TIMEOUT)

    return step


def answer_to(publisher):
    """Publish until the connection breaks; what the replica said if it did not."""
    deadline = time.monotonic() + TIMEOUT
    with publisher.client:
        try:
            answer = publisher.publish()
            while answer.is_success and time.monotonic() < deadline:
                time.sleep(0.05)
                answer = publisher.look()
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return None
    return answer.text


def check_seen(client, manifest, place, *, visible):
    """A version is there and whole, or it is nowhere."""
    vector = f"/v1/vectors/{manifest.vector}"
    version = client.get(f"{vector}/versions/{manifest.version}")
    asked = [version, client.get(f"{vector}/resolve"), client.get(vector)]
    listed = client.get("/v1/vectors", params={"query": manifest.name}).json()["items"]
    named = [item for item in listed if item["name"] == manifest.name]

    if not visible:
        assert [answer.status_code for answer in asked] == [404, 404, 404]
        assert named == []
        return
    assert [answer.status_code for answer in asked] == [200, 200, 200]
    found = [
        asked[0].json()["digest"],
        asked[1].json()["digest"],
        *(entry["digest"] for entry in asked[2].json()["versions"]),
        *(item["latest"]["digest"] for item in named),
    ]
    assert found == [str(manifest.digest)] * 4
    assert [item["version_count"] for item in named] == [1]
    for file in version.json()["files"]:
        data = client.get(file["url"]).content
        assert data == (place / file["path"]).read_bytes()


def publish_again(world, manifest, place, tmp_path, *, upload):
    """As the publisher does who is told that the registry went away."""
    cache = tmp_path / f"cache of {place.name}"
    if upload is not None:
        # What an interrupted client of the same address would have left.
        with upload_record(cache / "uploads", world.url, manifest.digest) as record:
            record.write(upload)
    with Registry(world.url, token=world.token, cache=cache, timeout=TIMEOUT) as client:
        assert client.publish(place).digest == str(manifest.digest)
    assert not list((cache / "uploads").glob("*.json"))


def minutes_pass(services):
    """As long as it takes to be sure that a silent process is dead."""
    while_ago = literal(timedelta(minutes=2), Interval)
    with services.database.writing() as session:
        for column in (Completion.busy_until, Removal.started_at):
            session.execute(update(column.class_).values({column: column - while_ago}))


def sweep_in_days(services):
    """Every upload and every grace is over: what is left has a row."""
    minutes_pass(services)
    ahead = Clock()
    ahead.ahead = timedelta(days=3)
    remove_leftovers(dataclasses.replace(services, now=ahead))

    with services.database.reading() as session:
        named = set(session.scalars(select(Blob.digest)))
        for left in (Upload.id, Reservation.upload_id, Removal.digest):
            assert session.scalars(select(left)).all() == []
    bucket = services.store.bucket
    kept = {found.key for found in bucket.list("")}
    assert kept == {final_key(Digest.parse(digest)) for digest in named}
    assert list(bucket.multiparts("")) == []
