"""Downloads from the embedded registry against nginx, which sends the same file.

Over one kept connection each: the whole file of 200 MB, and ranges of three layers of
thirty-two, as a hotfix moves them. The client throws the bytes away.
"""

import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import partial

from safegene_client import Registry as Client

from benchmarks.harness import Benchmark
from benchmarks.registry.raw_http import Connection
from benchmarks.registry.servers import Nginx, Registry
from benchmarks.registry.versions import Versions
from safegene.artifact.digest import Digest
from safegene.artifact.manifest import TENSORS_NAME, FileEntry

LAYERS_AT_ONCE = 3
Span = tuple[int, int] | None


def spans_of(entry: FileEntry) -> list[tuple[int, int]]:
    """Ranges of three layers each, over all of a tensor file but what is left over."""
    layers = [part for part in entry.segments or () if part.layers]
    return [
        (group[0].offset, group[-1].offset + group[-1].size)
        for start in range(0, len(layers), LAYERS_AT_ONCE)
        if len(group := layers[start : start + LAYERS_AT_ONCE]) == LAYERS_AT_ONCE
    ]


def fetch(url: str, target: str, spans: Sequence[Span]) -> None:
    """Download a file, or ranges of it one after the other, over one connection."""
    with Connection(url) as connection:
        for span in spans:
            connection.get(target, span=span)


def check_bytes(url: str, target: str, entry: FileEntry, span: Span) -> None:
    """Fail unless a server gives the right bytes; a wrong result has no speed."""
    with Connection(url) as connection:
        whole = connection.get(target, keep=True).body
        part = connection.get(target, span=span, keep=True).body
    if hashlib.sha256(whole).hexdigest() != Digest.parse(entry.digest).hex:
        sys.exit(f"{url}: other bytes than those of {entry.digest}")
    if span is not None and part != whole[span[0] : span[1]]:
        sys.exit(f"{url}: other bytes than those of {span}")


def publish_one(registry: Registry, versions: Versions) -> tuple[str, FileEntry]:
    """Publish a version; the target of its tensor file, and its entry."""
    directory, manifest = versions.write()
    with Client(
        registry.url, token=registry.token, cache=registry.directory / "cache"
    ) as client:
        client.publish(directory)
    path = f"{manifest.vector}/versions/{manifest.version}/files/{TENSORS_NAME}"
    return f"/v1/vectors/{path}", manifest.file(TENSORS_NAME)


def compare(
    benchmark: Benchmark,
    registry: Registry,
    nginx: Nginx,
    versions: Versions,
    rounds: int,
) -> None:
    """Measure both, and record the lesser of the two ratios."""
    target, entry = publish_one(registry, versions)
    digest = Digest.parse(entry.digest)
    peer_target = f"/{digest.hex[:2]}/{digest.hex}"
    spans = spans_of(entry)
    check_bytes(registry.url, target, entry, spans[0])
    check_bytes(nginx.url, peer_target, entry, spans[0])
    ours, theirs = registry.url, nginx.url
    cases: dict[str, Callable[[], object]] = {
        "embedded whole file": partial(fetch, ours, target, [None]),
        "nginx whole file": partial(fetch, theirs, peer_target, [None]),
        "embedded ranges": partial(fetch, ours, target, spans),
        "nginx ranges": partial(fetch, theirs, peer_target, spans),
    }
    benchmark.measure(cases, rounds=rounds)
    benchmark.figures["bytes of a range"] = float(spans[0][1] - spans[0][0])
    benchmark.figures["ranges"] = float(len(spans))
    found = [
        benchmark.compare(f"{kind} vs nginx", f"nginx {kind}", f"embedded {kind}")
        for kind in ("whole file", "ranges")
    ]
    benchmark.ratios["embedded_pull_vs_nginx"] = min(
        found, key=lambda each: each.median
    )
