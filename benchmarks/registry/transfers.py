"""Publishing and pulling 200 MB against bare boto3, on one S3 server.

The peer of publishing puts the bytes, reads them back and hashes them: the least that
has to be done to know that the store holds what was sent. The peer of pulling writes
them to a file. Of boto3's ways to do either, the faster one counts.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from safegene_client import Registry

from benchmarks.harness import Benchmark
from benchmarks.registry.versions import NAME, NAMESPACE, Versions
from safegene.artifact.manifest import TENSORS_NAME

BUCKET, PEER_BUCKET = "safegene-bench", "safegene-bench-peer"
READ_BYTES = 1 << 20


def s3_client(server: dict[str, str]) -> Any:
    """boto3 as it comes, but for where the server is."""
    return boto3.client(
        "s3",
        endpoint_url=server["SAFEGENE_TEST_S3_ENDPOINT"],
        aws_access_key_id=server["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server["AWS_SECRET_ACCESS_KEY"],
        region_name=server["AWS_DEFAULT_REGION"],
        config=Config(s3={"addressing_style": "path"}),
    )


def make_buckets(client: Any) -> None:
    """Have both buckets."""
    there = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
    for name in {BUCKET, PEER_BUCKET} - there:
        client.create_bucket(Bucket=name)


class Peer:
    """The same with boto3 alone.

    Args:
        client: of the S3 server.
        file: that is put.
        target: file to download to.
    """

    def __init__(self, client: Any, file: Path, target: Path) -> None:
        self.client = client
        self.file = file
        self.target = target
        self.expected = hashlib.sha256(file.read_bytes()).hexdigest()
        self.count = 0

    def publish_whole(self) -> None:
        """One PUT, then read back and hash."""
        with self.file.open("rb") as stream:
            self.client.put_object(Bucket=PEER_BUCKET, Key=self.key(), Body=stream)
        self.read_back()

    def publish_managed(self) -> None:
        """As parts, ten at once, then read back and hash."""
        self.client.upload_file(str(self.file), PEER_BUCKET, self.key())
        self.read_back()

    def key(self) -> str:
        """A key that was not used yet."""
        self.count += 1
        return str(self.count)

    def read_back(self) -> None:
        """Read and hash what was put last."""
        state = hashlib.sha256()
        for chunk in self.chunks():
            state.update(chunk)
        if state.hexdigest() != self.expected:
            message = "the S3 server gave other bytes than it was sent"
            raise ValueError(message)

    def chunks(self) -> Any:
        """What was put last, piece by piece."""
        answer = self.client.get_object(Bucket=PEER_BUCKET, Key=str(self.count))
        return answer["Body"].iter_chunks(READ_BYTES)

    def pull_whole(self) -> None:
        """One GET."""
        with self.target.open("wb") as stream:
            for chunk in self.chunks():
                stream.write(chunk)

    def pull_managed(self) -> None:
        """As ranges, ten at once."""
        self.client.download_file(PEER_BUCKET, str(self.count), str(self.target))


class Ours:
    """Publishing and pulling as anybody does.

    Args:
        place: for versions and the cache.
        url: of the registry.
        token: that may publish.
        versions: to publish.
    """

    def __init__(self, place: Path, url: str, token: str, versions: Versions) -> None:
        self.cache = place / "cache"
        self.versions = versions
        self.registry = Registry(url, token=token, cache=self.cache)
        self.waiting: Path | None = None
        self.published = ""

    def prepare(self) -> None:
        """Have a version to publish."""
        if self.waiting is None:
            self.waiting, _ = self.versions.write()

    def forget(self) -> None:
        """Have nothing in the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def publish(self) -> None:
        """Publish the version that waits."""
        if self.waiting is None:
            message = "there is no version to publish; prepare one"
            raise ValueError(message)
        done = self.registry.publish(self.waiting)
        shutil.rmtree(self.waiting)
        self.waiting, self.published = None, done.version

    def pull(self) -> None:
        """Pull what was published last."""
        self.registry.pull(f"{NAMESPACE}/{NAME}@{self.published}")


def compare_publishing(
    benchmark: Benchmark, ours: Ours, peer: Peer, rounds: int
) -> None:
    """Measure both, and the ratio."""
    cases: dict[str, Callable[[], object]] = {
        "publish": ours.publish,
        "boto3 put_object + read-back + sha256": peer.publish_whole,
        "boto3 upload_file + read-back + sha256": peer.publish_managed,
    }
    benchmark.measure(cases, rounds=rounds, reset=ours.prepare)
    faster(benchmark, "publish_vs_boto3", *cases)


def compare_pulling(benchmark: Benchmark, ours: Ours, peer: Peer, rounds: int) -> None:
    """Measure both, and the ratio."""
    ours.prepare()
    ours.publish()
    peer.publish_whole()
    cases: dict[str, Callable[[], object]] = {
        "pull": ours.pull,
        "boto3 get_object": peer.pull_whole,
        "boto3 download_file": peer.pull_managed,
    }
    benchmark.measure(cases, rounds=rounds, reset=ours.forget)
    faster(benchmark, "pull_vs_boto3", *cases)


def faster(benchmark: Benchmark, name: str, case: str, *peers: str) -> None:
    """Record the throughput of a case over that of its faster peer."""
    best = min(peers, key=lambda peer: benchmark.seconds[peer].median)
    benchmark.compare(name, best, case)


def transfer_versions(place: Path, versions: Versions, client: Any) -> Peer:
    """The peer, with a file of the size of ours to send."""
    directory, _ = versions.write()
    file = place / "peer"
    (directory / TENSORS_NAME).rename(file)
    shutil.rmtree(directory)
    return Peer(client, file, place / "downloaded")
