"""Whether there were prompts enough, and how many more there would have to be.

Too few to learn anything from is an error before the work (`samples.check_data`); what
is found here are the warnings of a calibration.
"""

import math

from safegene.vectors.recalibrate.objective import Gain, Group
from safegene.vectors.recalibrate.samples import (
    ADVISED_HARMFUL,
    ADVISED_LOOKALIKE,
    LEAST_LOOKALIKE,
    CalibrationData,
)


def diagnose(data: CalibrationData, gain: Gain, *, applied: bool) -> list[str]:
    """What a user has to know before trusting the coefficients.

    Args:
        data: what was calibrated on.
        gain: how much the objective fell on the scored prompts.
        applied: whether any coefficient is not 0.

    Returns:
        One sentence a finding; none where all is well.
    """
    found = _too_few(data)
    if not applied:
        found.append(
            "no coefficient within the budget lowers the objective, so all are 0;"
            " raise the budget or use another vector"
        )
    elif not gain.is_certain:
        found.append(_uncertain(data, gain))
    return found


def _too_few(data: CalibrationData) -> list[str]:
    harmful = _different(data, Group.HARMFUL)
    lookalike = _different(data, Group.LOOKALIKE)
    found = []
    if harmful < ADVISED_HARMFUL:
        found.append(
            f"calibrated on {harmful} harmful prompts; {ADVISED_HARMFUL - harmful} more"
            f" are needed for the advised {ADVISED_HARMFUL}"
        )
    if lookalike < LEAST_LOOKALIKE:
        found.append(
            f"calibrated on {lookalike} look-alike prompts; at least"
            f" {LEAST_LOOKALIKE - lookalike} more are needed to tell whether harmless"
            f" prompts are refused, {ADVISED_LOOKALIKE - lookalike} for the advised"
            f" {ADVISED_LOOKALIKE}"
        )
    elif lookalike < ADVISED_LOOKALIKE:
        found.append(
            f"calibrated on {lookalike} look-alike prompts;"
            f" {ADVISED_LOOKALIKE - lookalike} more are needed for the advised"
            f" {ADVISED_LOOKALIKE}"
        )
    return found


def _uncertain(data: CalibrationData, gain: Gain) -> str:
    """The interval, and what would move it off no gain.

    Its width falls as the root of the prompts that were *scored*, which may be fewer
    than there are: then the advice is to score more of them.
    """
    sentence = (
        f"the gain's 95 % interval [{gain.low:.3g}, {gain.high:.3g}] overlaps no gain"
    )
    if math.isinf(gain.samples_factor):
        return f"{sentence}; no number of samples would change that"
    more = {
        group: max(1, math.ceil((gain.samples_factor - 1) * gain.scored[group]))
        for group in (Group.HARMFUL, Group.LOOKALIKE)
    }
    sentence += (
        f"; about {more[Group.HARMFUL]} more harmful prompts and"
        f" {more[Group.LOOKALIKE]} more look-alike ones are needed"
    )
    unread = [
        f"{group} {_different(data, group)} instead of {gain.scored[group]}"
        for group in more
        if _different(data, group) > gain.scored[group]
    ]
    if unread:
        sentence += f"; of what is there, more could be scored ({', '.join(unread)})"
    return sentence


def _different(data: CalibrationData, group: Group) -> int:
    rows = data.harmful if group is Group.HARMFUL else data.lookalike
    return len({row.prompt for row in rows})
