"""The settings that are tried."""

from benchmarks.objective.settings import settings


def test_there_are_twenty_or_more_all_different_and_always_the_same():
    found = dict(settings(30))

    assert len(found) == len(set(found.values())) >= 20
    assert found == dict(settings(30))
    assert {len(values) for values in found.values()} == {30}
    assert all(0 <= value <= 2 for values in found.values() for value in values)


def test_few_layers_are_enough():
    found = dict(settings(2))

    assert len(found) >= 20
    assert found["layers 1 to 1"] == (0.0, 1.6)
