"""The catalogs that are measured: the same mix at every size, whole, and answered."""

from collections import Counter

import pytest
from safegene_registry.settings import Settings

from benchmarks.catalog.asking import KINDS, asked, percentile
from benchmarks.catalog.contents import (
    BLOCK,
    COLUMNS,
    COUNTS,
    POPULAR,
    Catalog,
    family_config,
)
from benchmarks.catalog.filling import fill_sqlite
from benchmarks.catalog.plot import drawn
from safegene.artifact.architecture import architecture_from_config


def test_a_block_is_a_hundred_vectors_with_a_thousand_versions():
    assert len(COUNTS) == 100
    assert sum(COUNTS) == BLOCK
    assert max(COUNTS) <= 1000


def test_every_row_has_its_columns_and_refers_to_what_came_before():
    tables = Counter()
    blobs = set()
    for table, row in Catalog(2 * BLOCK).rows():
        tables[table] += 1
        assert len(row) == len(COLUMNS[table])
        if table == "blobs":
            blobs.add(row[0])
        if table == "files":
            assert row[2] in blobs

    assert tables["versions"] == 2 * BLOCK
    assert tables["vectors"] == tables["heads"] == 200
    assert tables["namespaces"] == 4
    assert tables["files"] == 4 * tables["versions"]


def test_families_differ_and_the_same_seed_gives_the_same_rows():
    some = [architecture_from_config(family_config(n)) for n in range(0, 5000, 97)]

    assert len({family.fingerprint for family in some}) == len(some)
    assert list(Catalog(BLOCK).rows()) == list(Catalog(BLOCK).rows())


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    data = fill_sqlite(tmp_path_factory.mktemp("catalog") / "data", BLOCK)
    with asked("small", BLOCK, Settings(data=data)) as made:
        yield made


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_catalog_answers_every_question_in_full(catalog, kind):
    """Else a larger one would do more work: `ask` refuses other answers."""
    seconds = [catalog.ask(kind) for _ in range(POPULAR)]

    assert min(seconds) > 0
    assert 1 <= catalog.statements(kind) <= 8


def test_a_percentile_is_one_of_the_values():
    values = [float(n) for n in range(100)]

    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile([1.0], 0.99) == 1


def test_the_picture_has_a_line_for_each_question():
    text = str(
        drawn({"fits": {1000: 2.0, 10000: 2.5}, "search": {1000: 1.0, 10000: 1.0}})
    )

    assert text.startswith("<svg")
    assert text.count("<circle") == 4
    assert "fits" in text
