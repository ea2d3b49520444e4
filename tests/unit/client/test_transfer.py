"""Downloads: only what is missing, proved, over connections that break."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from safegene_client.transfer import Blob, LocalRange, fetch_blob
from support.scripted_server import Reply, file_reply, problem_reply

from safegene.artifact.digest import digest_bytes
from safegene.artifact.manifest import Segment
from safegene.errors import (
    DigestMismatchError,
    NotFoundError,
    RegistryError,
    TransportError,
)

DATA = os.urandom(50_000)


def blob_of(data, **more):
    return Blob(
        path="/blob", name="the blob", digest=digest_bytes(data), size=len(data), **more
    )


def segments_of(data, *cuts):
    bounds = [0, *cuts, len(data)]
    return tuple(
        Segment(
            offset=start,
            size=stop - start,
            digest=str(digest_bytes(data[start:stop])),
            layers=(),
        )
        for start, stop in pairwise(bounds)
    )


def ranges_of(server):
    return [got.headers.get("range") for got in server.requests]


def test_whole_blob_is_fetched_in_one_request(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA))
    seen = []

    fetch_blob(
        session_with(server.url),
        blob_of(DATA),
        tmp_path / "part",
        progress=lambda done, total: seen.append((done, total)),
    )

    assert (tmp_path / "part").read_bytes() == DATA
    assert ranges_of(server) == [None]
    assert seen[-1] == (len(DATA), len(DATA))


def test_empty_blob_needs_no_request(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, b""))

    fetch_blob(session_with(server.url), blob_of(b""), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == b""
    assert server.requests == []


def test_interrupted_download_goes_on_where_it_stopped(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA))
    part = tmp_path / "part"
    part.write_bytes(DATA[:20_000])

    fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert part.read_bytes() == DATA
    assert ranges_of(server) == ["bytes=20000-49999"]
    assert server.requests[0].headers["if-range"] == f'"{digest_bytes(DATA)}"'


def test_cut_connections_are_taken_up_again_in_the_same_call(
    serve, session_with, tmp_path
):
    cuts = iter([10_000, 5_000, None])
    server = serve(lambda got: file_reply(got, DATA, cut_after=next(cuts)))

    fetch_blob(session_with(server.url), blob_of(DATA), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert ranges_of(server) == [None, "bytes=10000-49999", "bytes=15000-49999"]


def test_what_came_is_kept_when_the_network_stays_down(serve, session_with, tmp_path):
    server = serve(
        lambda got: (
            file_reply(got, DATA, cut_after=1000)
            if len(server.requests) == 1
            else Reply(503, headers={"Retry-After": "0"})
        )
    )
    part = tmp_path / "part"

    with pytest.raises(TransportError):
        fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert part.read_bytes() == DATA[:1000]


def test_server_without_ranges_still_serves_resumption(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA, ranges=False))
    part = tmp_path / "part"
    part.write_bytes(DATA[:20_000])

    fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert part.read_bytes() == DATA


def test_damaged_part_is_thrown_away_and_fetched_anew(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA))
    part = tmp_path / "part"
    part.write_bytes(b"\0" * 20_000)

    fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert part.read_bytes() == DATA
    assert ranges_of(server) == ["bytes=20000-49999", None]


def test_part_longer_than_the_blob_is_thrown_away(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA))
    part = tmp_path / "part"
    part.write_bytes(DATA + b"more")

    fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert part.read_bytes() == DATA


def test_other_bytes_than_promised_are_refused_and_not_kept(
    serve, session_with, tmp_path
):
    flipped = bytes([DATA[0] ^ 1]) + DATA[1:]
    server = serve(lambda got: file_reply(got, flipped))
    part = tmp_path / "part"

    with pytest.raises(DigestMismatchError) as caught:
        fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert caught.value.expected == str(digest_bytes(DATA))
    assert caught.value.actual == str(digest_bytes(flipped))
    assert "the blob" in caught.value.detail
    assert not part.exists()
    assert len(server.requests) == 1


def test_fewer_bytes_than_promised_are_not_the_end(serve, session_with, tmp_path):
    server = serve(
        lambda got: (
            file_reply(got, DATA) if "range" in got.headers else Reply(200, DATA[:100])
        )
    )

    fetch_blob(session_with(server.url), blob_of(DATA), tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA


def test_answer_with_another_range_than_asked_for_is_refused(
    serve, session_with, tmp_path
):
    server = serve(
        lambda _: Reply(206, DATA[:10], {"Content-Range": "bytes 0-9/50000"})
    )
    part = tmp_path / "part"
    part.write_bytes(DATA[:20_000])

    with pytest.raises(RegistryError, match="from 20000 on"):
        fetch_blob(session_with(server.url), blob_of(DATA), part)

    assert not part.exists()


def test_refusal_leaves_nothing(serve, session_with, tmp_path):
    server = serve(lambda _: problem_reply(404, "not-found", "Purged."))

    with pytest.raises(NotFoundError):
        fetch_blob(session_with(server.url), blob_of(DATA), tmp_path / "part")

    assert list(tmp_path.iterdir()) == []


def test_known_segments_are_copied_and_only_changed_ranges_fetched(
    serve, session_with, tmp_path
):
    old = tmp_path / "old"
    old.write_bytes(b"header" + DATA[10_000:20_000] + DATA[30_000:])
    segments = segments_of(DATA, 5_000, 10_000, 20_000, 30_000)
    donors = {
        segments[2].digest: LocalRange(old, 6),
        segments[4].digest: LocalRange(old, 10_006),
    }
    server = serve(lambda got: file_reply(got, DATA))

    fetch_blob(
        session_with(server.url),
        blob_of(DATA, segments=segments, donors=donors),
        tmp_path / "part",
    )

    assert (tmp_path / "part").read_bytes() == DATA
    assert ranges_of(server) == ["bytes=0-9999", "bytes=20000-29999"]


def test_resumption_and_known_segments_go_together(serve, session_with, tmp_path):
    old = tmp_path / "old"
    old.write_bytes(DATA)
    segments = segments_of(DATA, 10_000, 30_000)
    donors = {segments[1].digest: LocalRange(old, 10_000)}
    server = serve(lambda got: file_reply(got, DATA))
    part = tmp_path / "part"
    part.write_bytes(DATA[:15_000])

    fetch_blob(
        session_with(server.url), blob_of(DATA, segments=segments, donors=donors), part
    )

    assert part.read_bytes() == DATA
    assert ranges_of(server) == ["bytes=30000-49999"]


def test_damaged_donor_costs_a_whole_download_and_nothing_else(
    serve, session_with, tmp_path
):
    old = tmp_path / "old"
    old.write_bytes(b"\0" * len(DATA))
    segments = segments_of(DATA, 10_000)
    donors = {segments[1].digest: LocalRange(old, 10_000)}
    server = serve(lambda got: file_reply(got, DATA))

    fetch_blob(
        session_with(server.url),
        blob_of(DATA, segments=segments, donors=donors),
        tmp_path / "part",
    )

    assert (tmp_path / "part").read_bytes() == DATA
    assert ranges_of(server) == ["bytes=0-9999", None]


def test_file_that_the_disk_refuses_leaves_nothing(serve, tmp_path):
    """A real write error, from the kernel: the process may not write files so large."""
    server = serve(lambda got: file_reply(got, DATA))
    part = tmp_path / "part"
    script = f"""
import resource
from pathlib import Path
from safegene.artifact.digest import Digest
from safegene.errors import LocalStorageError
from safegene_client.session import Session
from safegene_client.transfer import Blob, fetch_blob
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
digest = Digest.parse("{digest_bytes(DATA)}")
try:
    fetch_blob(
        Session("{server.url}", token=None, timeout=5),
        Blob("/blob", "the blob", digest, {len(DATA)}),
        Path("{part}"),
    )
except LocalStorageError as error:
    print(error)
"""

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert str(part) in done.stdout
    assert "free some space" in done.stdout
    assert list(Path(tmp_path).iterdir()) == []


PIECE = 4096
PIECES = [(at, min(at + PIECE, len(DATA))) for at in range(0, len(DATA), PIECE)]


def spans_asked_for(server):
    return sorted(got.headers["range"] for got in server.requests)


def test_a_large_blob_comes_in_pieces(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA))
    blob = blob_of(DATA, piece_bytes=PIECE)

    fetch_blob(session_with(server.url), blob, tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    wanted = sorted(f"bytes={first}-{stop - 1}" for first, stop in PIECES)
    assert spans_asked_for(server) == wanted


def test_pieces_need_a_server_that_knows_ranges(serve, session_with, tmp_path):
    server = serve(lambda got: file_reply(got, DATA, ranges=False))
    blob = blob_of(DATA, piece_bytes=PIECE)

    fetch_blob(session_with(server.url), blob, tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert len(server.requests) == 1


def test_a_piece_that_breaks_off_is_fetched_again(serve, session_with, tmp_path):
    broken = []

    def reply(got):
        cut = None
        if got.headers["range"] == f"bytes={5 * PIECE}-{6 * PIECE - 1}" and not broken:
            broken.append(got)
            cut = 10
        return file_reply(got, DATA, cut_after=cut)

    server = serve(reply)
    blob = blob_of(DATA, piece_bytes=PIECE)

    fetch_blob(session_with(server.url), blob, tmp_path / "part")

    assert broken
    assert (tmp_path / "part").read_bytes() == DATA


def test_who_redirects_is_asked_once_for_all_pieces(serve, session_with, tmp_path):
    store = serve(lambda got: file_reply(got, DATA))
    away = {"Location": f"{store.url}/there?signed=yes"}
    server = serve(lambda _: Reply(307, b"", away))
    blob = blob_of(DATA, piece_bytes=PIECE)

    fetch_blob(session_with(server.url), blob, tmp_path / "part")

    assert (tmp_path / "part").read_bytes() == DATA
    assert (len(server.requests), len(store.requests)) == (1, len(PIECES))
    assert {got.query["signed"] for got in store.requests} == {"yes"}
