"""How little of a large checkpoint is read; how long it takes is told, not tested."""

from benchmarks.lineage.reading import measure


def test_a_sketch_of_two_gigabytes_reads_less_than_a_megabyte(tmp_path):
    reading = measure(tmp_path)

    assert reading.checkpoint_bytes > 2_000_000_000
    assert reading.shards > 1
    assert reading.values == 4096
    assert reading.values * 2 < reading.read_bytes < 200_000
