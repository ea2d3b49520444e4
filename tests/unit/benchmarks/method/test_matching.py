"""Finding the strength at which a rival's KL is ours."""

import pytest

from benchmarks.method.matching import match_kl

OPTIONS = {"tolerance": 0.05, "trials": 9}


@pytest.mark.parametrize("wanted", [0.002, 0.02, 0.5])
@pytest.mark.parametrize(
    "curve",
    [
        pytest.param(lambda s: 0.3 * s**2, id="square"),
        pytest.param(lambda s: 0.1 * s**2 + 0.2 * s**4, id="steeper"),
        pytest.param(lambda s: 0.4 * s, id="linear"),
        pytest.param(lambda s: 0.3 * s**2 if s < 2 else float("inf"), id="breaks"),
    ],
)
def test_the_kl_is_matched(curve, wanted):
    found = match_kl(curve, wanted, highest=4.0, **OPTIONS)

    assert found.reached
    assert found.kl == curve(found.strength)
    assert abs(found.kl - wanted) <= 0.05 * wanted
    assert found.measured <= 9


def test_steps_are_matched_as_near_as_they_come():
    """As with a number of layers."""
    found = match_kl(lambda s: 0.01 * round(10 * s), 0.034, highest=1.0, **OPTIONS)

    assert found.kl == pytest.approx(0.03)
    assert not found.reached


def test_a_rival_that_cannot_move_so_far_ends_at_its_highest():
    found = match_kl(lambda s: 0.001 * s**2, 0.5, highest=1.0, **OPTIONS)

    assert found.strength == 1.0
    assert not found.reached


def test_nothing_to_match_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        match_kl(lambda s: s, 0.0, highest=1.0, **OPTIONS)
