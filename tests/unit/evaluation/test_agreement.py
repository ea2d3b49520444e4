import pytest

from safegene.errors import InvalidDataError
from safegene.evaluation.agreement import agreement, cohen_kappa
from safegene.evaluation.outcomes import Outcome

R, C, D, T = Outcome.REFUSE, Outcome.COMPLY, Outcome.DEGENERATE, Outcome.OFF_TASK


def test_kappa_is_that_of_the_textbook():
    # Observed 0.70; chance 0.5 * 0.6 + 0.5 * 0.4 = 0.50.
    pairs = [(R, R)] * 20 + [(R, C)] * 5 + [(C, R)] * 10 + [(C, C)] * 15

    assert cohen_kappa(pairs) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("pairs", "kappa"),
    [
        pytest.param([(R, R), (C, C), (D, D)], 1.0, id="perfect"),
        pytest.param([(R, R)] * 3, 1.0, id="only one thing was said"),
        pytest.param([(R, R), (R, C), (C, R), (C, C)], 0.0, id="chance"),
        pytest.param([(R, C), (C, R)], -1.0, id="always the other"),
    ],
)
def test_kappa_at_its_ends(pairs, kappa):
    assert cohen_kappa(pairs) == pytest.approx(kappa)


def test_everything_about_two_judges():
    first = [R] * 10 + [C] * 10 + [D] * 5
    second = [R] * 9 + [C] * 11 + [D] * 4 + [C]

    found = agreement(first, second)

    assert found.kappa.n == 25
    assert found.kappa.low < found.kappa.value < found.kappa.high
    assert found.same.value == pytest.approx(23 / 25)
    assert found.confusion[R] == {R: 9, C: 1, D: 0, T: 0}
    assert set(found.by_outcome) == {R, C, D}
    assert found.by_outcome[D].value > found.by_outcome[C].value


def test_answers_to_one_prompt_are_resampled_together():
    first = [R, C] * 20
    second = ([R, C] * 2 + [C, C]) * 6 + [R, C] * 2
    alone = agreement(first, second)

    grouped = agreement(first, second, groups=[at // 10 for at in range(40)])

    assert grouped.kappa.value == alone.kappa.value
    assert (grouped.kappa.low, grouped.kappa.high) != (
        alone.kappa.low,
        alone.kappa.high,
    )


@pytest.mark.parametrize(("first", "second"), [([], []), ([R], [R, C])])
def test_every_answer_needs_two_judgements(first, second):
    with pytest.raises(InvalidDataError, match="two judgements of every answer"):
        agreement(first, second)


def test_kappa_of_nothing_is_refused():
    with pytest.raises(InvalidDataError, match="at least one pair"):
        cohen_kappa([])
