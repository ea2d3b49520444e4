"""Rates and their intervals, from counts alone.

Whoever reads an attestation can compute every figure in it from the counts beside it,
and `predicates` refuses one in which they disagree: a statement cannot promise a better
interval than its own counts give. So the intervals are formulas, not resamples, and
hold where nothing was observed: a bootstrap of 0 answers in 20 would claim [0, 0].
"""

import math
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from safegene.artifact.calibration import decimal_text
from safegene.artifact.manifest import DecimalText

Z = 1.959963984540054
"""Of a normal distribution, 95 % lie nearer to its mean than so many deviations."""

TOLERANCE = 2e-6
"""Between a figure and its text, which has six significant digits."""


class Figure(BaseModel):
    """A figure with the ends of its 95 % interval, and the answers behind it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    value: DecimalText
    low: DecimalText
    high: DecimalText
    n: int = Field(ge=1, lt=2**31)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        value, low, high = self.numbers
        if not -1 <= low <= value <= high <= 1:
            message = (
                f"expected low <= value <= high between -1 and 1, got {self.low},"
                f" {self.value}, {self.high}"
            )
            raise ValueError(message)
        return self

    @property
    def numbers(self) -> tuple[float, float, float]:
        """Value, low end and high end."""
        return float(self.value), float(self.low), float(self.high)

    def is_near(self, other: "Figure") -> bool:
        """Whether two figures are one, but for how they were rounded."""
        return self.n == other.n and all(
            abs(one - two) <= TOLERANCE
            for one, two in zip(self.numbers, other.numbers, strict=True)
        )

    def __str__(self) -> str:
        value, low, high = self.numbers
        return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def rate(hits: int, n: int) -> Figure:
    """A share of answers with Wilson's interval.

    Args:
        hits: how many were so, at most `n`.
        n: how many there were, at least 1.

    Source:
        Wilson 1927, the score interval.
    """
    return _figure(hits / n, *_wilson(hits, n), n)


def difference(hits: int, n: int, less: int, less_n: int) -> Figure:
    """One share minus another, of independent answers, with Newcombe's interval.

    Args:
        hits: of the first set.
        n: size of the first set, at least 1.
        less: of the second set.
        less_n: size of the second set, at least 1.

    Source:
        Newcombe 1998, method 10: the hybrid of two score intervals.
    """
    first, second = hits / n, less / less_n
    low_1, high_1 = _wilson(hits, n)
    low_2, high_2 = _wilson(less, less_n)
    value = first - second
    low = value - math.hypot(first - low_1, high_2 - second)
    high = value + math.hypot(high_1 - first, second - low_2)
    return _figure(value, low, high, n + less_n)


def _wilson(hits: int, n: int) -> tuple[float, float]:
    share, z2 = hits / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends the formula is exact and floats are not.
    low = 0.0 if hits == 0 else middle - half
    return low, 1.0 if hits == n else middle + half


def _figure(value: float, low: float, high: float, n: int) -> Figure:
    ends = (max(-1.0, min(low, value)), min(1.0, max(high, value)))
    texts = [decimal_text(number) for number in (value, *ends)]
    return Figure(value=texts[0], low=texts[1], high=texts[2], n=n)
