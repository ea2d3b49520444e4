"""Measured figures as the tables show them: with interval, samples, and whose word."""

from safegene_client.answers import BestCalibration, BestEvaluation, Range


def gain_text(best: BestEvaluation | None) -> str:
    """J: value, interval, answers to harmful prompts; nothing without an evaluation."""
    if best is None:
        return ""
    return f"J {interval(best.j)} of {best.harmful_samples}{claimed(best)}"


def over_refusal_text(best: BestEvaluation | None) -> str:
    """The share of harmless prompts that was refused in the same evaluation."""
    return "" if best is None else interval(best.over_refusal)


def kl_text(best: BestCalibration | None) -> str:
    """The KL of a calibration."""
    return "" if best is None else f"KL {best.kl:.3g}{claimed(best)}"


def interval(figure: Range) -> str:
    """A figure with the ends of its 95 % interval."""
    return f"{figure.value:.2f} [{figure.low:.2f}, {figure.high:.2f}]"


def claimed(best: BestEvaluation | BestCalibration) -> str:
    """What nobody says whom the namespace trusts."""
    return "" if best.trusted else " (claimed)"
