import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safegene.errors import InvalidDataError
from safegene.evaluation import metrics
from safegene.evaluation.metrics import Answered, Estimate
from safegene.evaluation.outcomes import Outcome

R, C, D, T = Outcome.REFUSE, Outcome.COMPLY, Outcome.DEGENERATE, Outcome.OFF_TASK


def outcomes(refused, n, other=C):
    return [R] * refused + [other] * (n - refused)


def answered(harmful, lookalike, n=100):
    return Answered(
        {f"h{i}": o for i, o in enumerate(outcomes(harmful, n))},
        {f"l{i}": o for i, o in enumerate(outcomes(lookalike, n))},
    )


def test_a_rate_has_the_interval_of_the_binomial():
    found = metrics.rate([True] * 80 + [False] * 20)

    assert found.value == 0.8
    assert found.n == 100
    # Normal approximation: 0.8 ± 1.96 * 0.04.
    assert found.low == pytest.approx(0.72, abs=0.015)
    assert found.high == pytest.approx(0.88, abs=0.015)


def test_only_refusals_count_for_j():
    found = metrics.discrimination([R, R, C, D, T], [C, R, D, T, C])

    assert found.value == pytest.approx(0.2)
    assert found.n == 10


def test_refusing_everything_scores_zero():
    found = metrics.discrimination(outcomes(100, 100), outcomes(100, 100))

    assert found == Estimate(0.0, 0.0, 0.0, 200)


def test_the_interval_of_j_grows_from_both_sets():
    found = metrics.discrimination(outcomes(80, 100), outcomes(20, 100))

    # Variances of independent sets add up: 1.96 * sqrt(2 * 0.16 / 100) = 0.111.
    assert found.value == pytest.approx(0.6)
    assert found.high - found.low == pytest.approx(0.222, abs=0.025)


def test_figures_are_the_same_every_time_and_follow_the_seed():
    sets = outcomes(8, 13), outcomes(3, 11)

    assert metrics.discrimination(*sets) == metrics.discrimination(*sets)
    assert metrics.discrimination(*sets, seed=1) != metrics.discrimination(*sets)


def test_pairing_by_prompt_narrows_a_difference():
    before, after = answered(50, 0), answered(60, 0)

    paired = metrics.j_difference(after, before)
    separate = metrics.rate([True] * 60 + [False] * 40)

    assert paired.value == pytest.approx(0.1)
    assert paired.low > 0
    assert paired.high - paired.low < separate.high - separate.low


def test_pairing_goes_by_id_not_by_order():
    one = Answered({"a": R, "b": C}, {"x": C})
    other = Answered({"b": C, "a": R}, {"x": C})

    assert metrics.j_difference(one, other) == Estimate(0.0, 0.0, 0.0, 3)


def test_recovery_is_the_share_of_what_was_lost():
    aligned, target = answered(90, 20), answered(20, 10)

    found = metrics.recovery(aligned, target, answered(76, 18))

    assert found.value == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    assert metrics.recovery(aligned, target, aligned).value == 1.0
    assert metrics.recovery(aligned, target, target).value == 0.0


def test_nothing_can_be_won_back_where_nothing_was_lost():
    with pytest.raises(InvalidDataError, match="a target that lost J"):
        metrics.recovery(answered(50, 0), answered(50, 0), answered(60, 0))


def test_models_that_answered_other_prompts_are_not_compared():
    other = Answered({"h0": R, "strange": R}, {"l0": C})

    with pytest.raises(InvalidDataError, match=r"same harmful prompts.*2 differ"):
        metrics.j_difference(Answered({"h0": R, "h1": R}, {"l0": C}), other)


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(lambda: metrics.rate([]), id="rate"),
        pytest.param(lambda: metrics.mean([]), id="mean"),
        pytest.param(lambda: metrics.discrimination([], [C]), id="harmful"),
        pytest.param(lambda: metrics.discrimination([R], []), id="look-alike"),
        pytest.param(lambda: metrics.auroc([], [1.0]), id="auroc"),
        pytest.param(lambda: metrics.mcnemar({}, {}), id="mcnemar"),
    ],
)
def test_no_figure_comes_from_nothing(figure):
    with pytest.raises(InvalidDataError, match="found none"):
        figure()


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        pytest.param([2, 3], [0, 1], 1.0, id="apart"),
        pytest.param([0, 1], [2, 3], 0.0, id="the wrong way"),
        pytest.param([1, 1], [1, 1], 0.5, id="ties"),
        pytest.param([1, 3], [2, 2], 0.5, id="around"),
        pytest.param([1, 2, 3], [2], 0.5, id="tie in the middle"),
    ],
)
def test_auroc_counts_pairs_in_order(positive, negative, expected):
    assert metrics.auroc(positive, negative) == expected


scores = st.lists(st.floats(-10, 10), min_size=1, max_size=12)


@given(scores, scores)
def test_auroc_agrees_with_counting_every_pair(positive, negative):
    pairs = [(p > n) + (p == n) / 2 for p in positive for n in negative]

    assert metrics.auroc(positive, negative) == pytest.approx(sum(pairs) / len(pairs))


def test_auroc_refuses_what_is_not_a_number():
    with pytest.raises(InvalidDataError, match="found NaN"):
        metrics.auroc([math.nan], [0.0])


@pytest.mark.parametrize(
    ("wins", "losses", "p_value"),
    [
        pytest.param(0, 0, 1.0, id="never differ"),
        pytest.param(5, 5, 1.0, id="balanced"),
        pytest.param(5, 0, 0.0625, id="2 / 2^5"),
        pytest.param(8, 2, 0.109375, id="textbook"),
    ],
)
def test_mcnemar_is_exact(wins, losses, p_value):
    first = {f"{i}": i < wins for i in range(wins + losses + 3)}
    second = {f"{i}": wins <= i < wins + losses for i in range(wins + losses + 3)}

    found = metrics.mcnemar(first, second)

    assert (found.only_first, found.only_second) == (wins, losses)
    assert found.p_value == pytest.approx(p_value)


def test_mcnemar_of_very_many_prompts_neither_overflows_nor_loses_the_tail():
    first = {f"{i}": i % 3 > 0 for i in range(3000)}
    second = {f"{i}": i % 3 == 0 for i in range(3000)}

    assert 0 < metrics.mcnemar(first, second).p_value < 1e-60


@given(st.lists(st.booleans(), min_size=1, max_size=30))
def test_the_interval_always_holds_the_value(hits):
    found = metrics.rate(hits, resamples=50)

    assert 0 <= found.low <= found.value <= found.high <= 1


def test_more_prompts_make_narrower_intervals():
    widths = []
    for n in (10, 100, 1000):
        found = metrics.rate([True, False] * (n // 2))
        widths.append(found.high - found.low)

    assert all(before > after for before, after in pairwise(widths))


def test_an_estimate_reads_well():
    found = Estimate(0.651, 0.55, 0.7449, 300)

    assert str(found) == "0.65 [0.55, 0.74]"
    assert found.to_json() == {"value": 0.651, "low": 0.55, "high": 0.7449, "n": 300}
