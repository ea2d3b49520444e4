import pytest

from benchmarks.lineage.pairs import Pair
from benchmarks.lineage.rates import Rate, error_rate, gap, judged, table


def pair(correlation, *, descendant, origin="tuned"):
    return Pair(
        family="llama",
        origin=origin,
        storage="float32",
        descendant=descendant,
        held_out=False,
        pooled=correlation,
        correlation=correlation,
    )


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        # Clopper and Pearson's bounds, as R's binom.test gives them.
        (0, 600, 0.0, 0.006129),
        (3, 300, 0.002067, 0.028948),
        (5, 10, 0.187086, 0.812914),
        (10, 10, 0.691503, 1.0),
    ],
)
def test_intervals_are_exact(count, of, low, high):
    rate = Rate(count, of)

    assert rate.low == pytest.approx(low, abs=1e-5)
    assert rate.high == pytest.approx(high, abs=1e-5)


def test_a_wrong_verdict_counts_on_either_side():
    pairs = [
        pair(0.9, descendant=True),
        pair(0.4, descendant=True),
        pair(0.1, descendant=False, origin="other"),
        pair(0.5, descendant=False, origin="other"),
    ]

    tuned, other = judged(pairs, 0.5, lambda pair: pair.origin)

    assert (tuned.wrong, other.wrong) == (Rate(1, 2), Rate(1, 2))
    assert error_rate(pairs, 0.45).count == 2
    assert gap(pairs) == (0.5, 0.4)
    assert list(table([tuned], "wrong"))[-1].startswith("| tuned | 1 of 2: 50.0% [")
