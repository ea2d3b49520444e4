"""Finds, for one target, how strongly each layer of a vector is to be applied.

`run` is the whole way; `samples` prepares the data, `openings` and `objective` define
what is lowered, `kl` what must not move, `gradients` and `forward` get both from the
model, `solver` and `search` decide, `report` writes the calibration. The method is
explained in docs/method.md.
"""

from safegene.vectors.recalibrate.objective import Objective
from safegene.vectors.recalibrate.run import recalibrate_coefficients
from safegene.vectors.recalibrate.samples import CalibrationData, Effort
from safegene.vectors.recalibrate.search import SearchSettings

__all__ = [
    "CalibrationData",
    "Effort",
    "Objective",
    "SearchSettings",
    "recalibrate_coefficients",
]
