"""The words that callers choose by, the same in the SDK and on the command line.

They stand in a module without torch, because `--help` lists them and loads none.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self, TypeVar

from safegene.errors import UsageError

Word = TypeVar("Word", bound=StrEnum)


class Solver(StrEnum):
    """How coefficients are looked for."""

    TRUST_REGION = "trust-region"
    """Damped Gauss-Newton steps in the metric of the KL; the default."""
    GRADIENT_FREE = "gradient-free"
    """Tries points, forward only: for targets that give no gradients."""
    ADAM = "adam"
    """Stochastic gradient descent, to compare with."""


class EffortLevel(StrEnum):
    """On how many of the prompts given each pass of recalibration measures.

    What is measured on each of them stays the same, and so does what a budget means.
    """

    QUICK = "quick"
    """Half as many as `NORMAL`: a first look, or a slow machine."""
    NORMAL = "normal"
    """96 harmful, 96 look-alike and 16 ordinary prompts, 64 rows for the KL."""
    THOROUGH = "thorough"
    """Three times as many: where more prompts are there, and the gain is uncertain."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The level of a name.

        Raises:
            UsageError: there is none of that name.
        """
        return _parsed(cls, text, "effort")

    @property
    def limits(self) -> Mapping[str, int]:
        """What differs from the fields' defaults of `recalibrate.Effort`."""
        return _LIMITS[self]


_LIMITS: Mapping[EffortLevel, Mapping[str, int]] = {
    EffortLevel.QUICK: {
        "harmful": 48,
        "lookalike": 48,
        "ordinary": 8,
        "behavior": 28,
    },
    EffortLevel.NORMAL: {},
    EffortLevel.THOROUGH: {
        "harmful": 288,
        "lookalike": 288,
        "ordinary": 48,
        "behavior": 168,
    },
}


class Ranking(StrEnum):
    """What layers are ranked by."""

    ALL = "all"
    """No ranking: every layer stays."""
    CONTRAST = "contrast"
    """How much more an update changes a block's output on harmful prompts."""
    SCORE = "score"
    """How much the objective falls per unit of KL."""
    RANDOM = "random"
    """No meaning: what a ranking has to beat."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """The ranking of a name.

        Raises:
            UsageError: there is none of that name.
        """
        return _parsed(cls, text, "by")


def _parsed(choice: type[Word], text: str, what: str) -> Word:
    try:
        return choice(text)
    except ValueError:
        detail = f"{what}: expected one of {', '.join(choice)}, got {text!r}"
        raise UsageError(detail) from None
