"""Finds the strength at which a rival moves the target as far as ours does."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Match:
    """Where the search ended."""

    strength: float
    kl: float
    measured: int
    """KL measurements it took."""
    reached: bool
    """Whether the KL is within the tolerance."""


def match_kl(
    kl: Callable[[float], float],
    wanted: float,
    *,
    highest: float,
    tolerance: float,
    trials: int,
) -> Match:
    """Search for the strength with a KL; it grows with the strength, or about.

    The KL of a small change grows as the square of its size, so the first guesses are
    drawn from there; then what is known to be too little and too much is halved.

    Args:
        kl: measures the KL at a strength, in nats per token.
        wanted: the KL to match, above 0.
        highest: the largest strength to try.
        tolerance: how far off, relative, counts as matched.
        trials: most measurements.

    Returns:
        The best strength measured. Where even `highest` moves the target less than
        wanted, that is the nearest one, and `reached` is false.

    Raises:
        ValueError: `wanted` is not above 0.
    """
    if not wanted > 0:
        message = f"expected a KL above 0 to match, got {wanted}"
        raise ValueError(message)
    found: dict[float, float] = {}
    low, high = 0.0, highest
    guess = highest / 4
    for _ in range(trials):
        found[guess] = kl(guess)
        if abs(found[guess] - wanted) <= tolerance * wanted:
            break
        if found[guess] < wanted:
            if guess >= highest:
                break
            low = guess
        else:
            high = guess
        guess = _next(low, high, found, wanted, highest)
        if guess in found:
            break
    best = min(found, key=lambda strength: abs(found[strength] - wanted))
    reached = abs(found[best] - wanted) <= tolerance * wanted
    return Match(best, found[best], len(found), reached=reached)


def _next(
    low: float, high: float, found: dict[float, float], wanted: float, highest: float
) -> float:
    """The square root's guess where only one side is known, else between the two."""
    if high not in found and low in found:
        return min(highest, low * max(1.2, (wanted / max(found[low], 1e-9)) ** 0.5))
    if low not in found and high in found and found[high] < float("inf"):
        return max(0.02 * high, high * min(0.9, (wanted / found[high]) ** 0.5))
    if low in found and high in found:
        # Straight between the roots, kept off the ends.
        roots = [found[at] ** 0.5 for at in (low, high)]
        span = roots[1] - roots[0]
        share = (wanted**0.5 - roots[0]) / span if 0 < span < float("inf") else 0.5
        return low + min(0.85, max(0.15, share)) * (high - low)
    return (low + high) / 2
