"""What the registry's benchmark measures with: it must be right itself."""

import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from benchmarks.harness import Benchmark, Spread
from benchmarks.registry.__main__ import summary
from benchmarks.registry.downloads import spans_of
from benchmarks.registry.raw_http import AnswerError, Connection, get_many
from benchmarks.registry.transfers import faster
from benchmarks.registry.versions import LARGE, RANK, SMALL, Versions
from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.bundle import verify_directory
from safegene.artifact.manifest import TENSORS_NAME

BODY = bytes(range(256)) * 9000


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        given = self.headers.get("Range")
        first, last = (given or f"=0-{len(BODY) - 1}").partition("=")[2].split("-")
        part = BODY[int(first) : int(last) + 1]
        found = self.path == "/there?it=is"
        self.send_response((206 if given else 200) if found else 404)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *arguments):
        pass


@contextmanager
def listening(server):
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def url():
    with listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as address:
        yield address


def test_one_connection_takes_bodies_and_ranges_of_them(url):
    with Connection(url) as connection:
        whole = connection.get("/there?it=is", keep=True)
        thrown_away = connection.get("/there?it=is")
        part = connection.get("/there?it=is", span=(7, 300), keep=True)

    assert (whole.status, whole.body) == (200, BODY)
    assert (thrown_away.size, thrown_away.body) == (len(BODY), b"")
    assert (part.status, part.body) == (206, BODY[7:300])


def test_a_refusal_ends_the_measurement_wherever_it_comes(url):
    targets = ["/there?it=is"] * 3 + ["/elsewhere"]

    with pytest.raises(AnswerError, match="/elsewhere: 404"):
        get_many(url, targets, connections=2)


def test_an_answer_that_is_cut_off_is_no_answer():
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with Connection(url) as connection:
            other, _ = server.accept()
            with other:
                other.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")
            with pytest.raises(AnswerError, match="4 bytes early"):
                connection.get("/")


def test_every_version_has_a_tensor_file_of_its_own(tmp_path):
    versions = Versions(tmp_path, SMALL)

    written = [versions.write() for _ in range(2)]

    assert [verify_directory(path) for path, _ in written] == [m for _, m in written]
    assert len({m.file(TENSORS_NAME).digest for _, m in written}) == 2
    assert len({m.version for _, m in written}) == 2


def test_a_large_version_has_two_hundred_megabytes():
    modules = architecture_from_config(LARGE).modules

    size = 4 * RANK * sum(each.in_features + each.out_features for each in modules)

    assert size == pytest.approx(200e6, rel=0.01)


def test_a_range_holds_three_layers_and_nothing_else(tmp_path):
    _, manifest = Versions(tmp_path, {**SMALL, "num_hidden_layers": 7}).write()
    entry = manifest.file(TENSORS_NAME)
    layers = [part for part in entry.segments if part.layers]

    spans = spans_of(entry)

    assert spans == [
        (layers[0].offset, layers[3].offset),
        (layers[3].offset, layers[6].offset),
    ]


def test_the_faster_peer_counts():
    benchmark = Benchmark("any", "any?", {})
    seconds = {"ours": (2.0, 2.0), "slow": (3.0, 3.0), "fast": (1.0, 1.0)}
    benchmark.seconds = {name: Spread.of(values) for name, values in seconds.items()}

    faster(benchmark, "ratio", "ours", "slow", "fast")

    assert benchmark.ratios["ratio"].median == 0.5


def test_the_summary_says_which_targets_are_met():
    benchmark = Benchmark("any", "any?", {})
    benchmark.ratios["pull_vs_boto3"] = Spread.of([0.91])
    benchmark.ratios["embedded_pull_vs_nginx"] = Spread.of([0.69])

    text = summary(benchmark)

    assert "pull_vs_boto3 0.91 [0.91, 0.91] (wanted 0.9: met)" in text
    assert "embedded_pull_vs_nginx 0.69 [0.69, 0.69] (wanted 0.7: not met)" in text
