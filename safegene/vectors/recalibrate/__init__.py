"""Finds, for one target, how strongly each layer of a vector is to be applied.

`run` is the whole way; `samples` prepares the data, `openings` and `objective` define
what is lowered, `kl` what must not move, `gradients` and `forward` get both from the
model as `target`, `solvers` decide (`search` with `solver`, `evolution`, `adam`),
`report` writes the calibration. The method is explained in docs/method.md.
"""

from safegene.vectors.recalibrate.adam import AdamSettings
from safegene.vectors.recalibrate.evolution import GradientFreeSettings
from safegene.vectors.recalibrate.objective import Objective
from safegene.vectors.recalibrate.run import recalibrate_coefficients
from safegene.vectors.recalibrate.samples import CalibrationData, Effort
from safegene.vectors.recalibrate.search import SearchSettings
from safegene.vectors.recalibrate.solvers import Solver
from safegene.vectors.recalibrate.target import Measured

__all__ = [
    "AdamSettings",
    "CalibrationData",
    "Effort",
    "GradientFreeSettings",
    "Measured",
    "Objective",
    "SearchSettings",
    "Solver",
    "recalibrate_coefficients",
]
