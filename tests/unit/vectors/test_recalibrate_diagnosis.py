"""What a calibration warns of, and how many more prompts it asks for."""

import math

import pytest
from support.recalibration import calibration_data

from safegene.vectors.recalibrate import CalibrationData
from safegene.vectors.recalibrate.diagnosis import diagnose
from safegene.vectors.recalibrate.objective import Gain, Group

CERTAIN = Gain(0.2, 0.1, 0.3, 0.4, {Group.HARMFUL: 96, Group.LOOKALIKE: 64})


@pytest.mark.parametrize(
    ("harmful", "lookalike", "told"),
    [
        pytest.param(100, 64, [], id="enough"),
        pytest.param(99, 64, ["99 harmful prompts; 1 more"], id="harmful"),
        pytest.param(100, 63, ["63 look-alike prompts; 1 more"], id="look-alike"),
        pytest.param(
            100, 15, ["15 look-alike prompts; at least 1 more", "49 for"], id="least"
        ),
        pytest.param(16, 1, ["84 more", "at least 15 more"], id="both"),
    ],
)
def test_missing_prompts_are_counted(harmful, lookalike, told):
    data = calibration_data(harmful=harmful, lookalike=lookalike)

    found = diagnose(data, CERTAIN, applied=True)

    assert all(part in " | ".join(found) for part in told)
    assert bool(found) == bool(told)


def test_repeated_prompts_count_once():
    data = calibration_data(harmful=100, lookalike=64)
    twice = CalibrationData(data.harmful, data.lookalike[:8] * 8, data.task)

    assert "calibrated on 8 look-alike" in diagnose(twice, CERTAIN, applied=True)[0]


def test_uncertain_gain_asks_for_more_of_both_kinds_in_proportion():
    data = calibration_data(harmful=100, lookalike=64)
    scored = {Group.HARMFUL: 100, Group.LOOKALIKE: 64}
    gain = Gain(0.1, -0.05, 0.25, 2.25, scored)

    (found,) = diagnose(data, gain, applied=True)

    assert "[-0.05, 0.25] overlaps no gain" in found
    assert "about 125 more harmful prompts and 80 more look-alike ones" in found
    assert "could be scored" not in found


def test_prompts_that_were_left_unread_are_named():
    data = calibration_data(harmful=120, lookalike=64)
    scored = {Group.HARMFUL: 96, Group.LOOKALIKE: 64}
    gain = Gain(0.1, -0.05, 0.25, 1.25, scored)

    (found,) = diagnose(data, gain, applied=True)

    assert "24 more harmful prompts" in found
    assert found.endswith("more could be scored (harmful 120 instead of 96)")


def test_no_gain_is_not_cured_by_more_prompts():
    data = calibration_data(harmful=100, lookalike=64)
    gain = Gain(-0.1, -0.2, 0.0, math.inf, CERTAIN.scored)

    assert "no number of samples" in diagnose(data, gain, applied=True)[0]
    assert "all are 0" in diagnose(data, gain, applied=False)[0]


def test_interval_that_touches_no_gain_is_no_certain_gain():
    assert not Gain(0.1, 0.0, 0.2, 1.0).is_certain
    assert CERTAIN.is_certain
