"""The words that callers choose by, the same in the SDK and on the command line.

They stand in a module without torch, because `--help` lists them and loads none.
"""

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
