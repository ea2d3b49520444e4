"""Hold what is known of a version against what moving an alias demands. Pure.

More of what counts never turns a met demand into an unmet one: an evaluation, a
signature or an approval that is added can only help. What is not trusted never counts.
Of several evaluations one has to meet all that is asked of it; the parts of different
ones are not put together.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from safegene.artifact.attestation.figures import Z
from safegene.artifact.calibration import decimal_text
from safegene.artifact.promotion.policy import AtMost, EvaluationDemand, Rule


@dataclass(frozen=True, slots=True)
class Ends:
    """A figure and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """One evaluation of the version."""

    digest: str
    """Of its envelope."""
    against: str
    """Name of the harmless set of prompts."""
    harmful_samples: int
    harmless_samples: int
    harm: Ends
    over_refusal: Ends
    J: Ends
    is_trusted: bool
    """Whether the namespace trusts who posted or who signed it."""
    key_is_trusted: bool
    """Whether it bears the signature of a key that the namespace trusts."""


@dataclass(frozen=True, slots=True)
class Signed:
    """That a key has signed a statement about the version."""

    key_id: str
    is_trusted: bool


@dataclass(frozen=True, slots=True)
class Approved:
    """That an account approves the version for the alias."""

    account: str
    may_approve: bool
    """Whether it is, now, a member who may publish."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known of a version, and who wants the alias moved."""

    mover: str
    """The account."""
    publisher: str
    """The account that published the version."""
    evaluations: Sequence[Measured] = ()
    signatures: Sequence[Signed] = ()
    approvals: Sequence[Approved] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a demand asks for."""

    measure: str
    """What is measured, as `harm.upper_end` or `approvals`."""
    is_met: bool
    wanted: str
    """In words: `at most 0.1`."""
    found: str | None = None
    """None: there is nothing to look at."""
    missed_by: str | None = None
    """How far it is off; None: it is met, or there is nothing to look at."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of one demand."""

    demand: str
    """In words."""
    kind: str
    """`evaluation`, `signatures` or `approvals`."""
    parts: tuple[Part, ...]
    evidence: str | None = None
    """Digest of the evaluation that comes nearest."""
    advice: str | None = None
    """What to do; None: it is met."""

    @property
    def is_met(self) -> bool:
        """Whether all parts are."""
        return all(part.is_met for part in self.parts)


def judge(rule: Rule, evidence: Evidence) -> tuple[Finding, ...]:
    """What becomes of each demand of a rule; the alias may move if all are met.

    Args:
        rule: that the policy has for the alias.
        evidence: of the version.
    """
    return tuple(_findings(rule, evidence))


def _findings(rule: Rule, evidence: Evidence) -> Iterator[Finding]:
    for demand in rule.evaluations:
        yield _evaluation(demand, evidence.evaluations)
    if rule.signatures:
        keys = {one.key_id for one in evidence.signatures if one.is_trusted}
        others = {one.key_id for one in evidence.signatures} - keys
        yield _count(
            "signatures",
            len(keys),
            rule.signatures,
            "have a holder of a key that the namespace trusts sign a statement about"
            " the version" + _ignored(len(others), "key", "not trusted"),
        )
    if rule.approvals:
        wrong = {evidence.mover, evidence.publisher}
        may = {one.account for one in evidence.approvals if one.may_approve}
        every = {one.account for one in evidence.approvals}
        yield _count(
            "approvals",
            len(may - wrong),
            rule.approvals,
            "have a member approve who may publish and is neither"
            f" {evidence.publisher!r}, who published the version, nor"
            f" {evidence.mover!r}, who moves the alias"
            + _ignored(len(every - (may - wrong)), "approval", "not such a member's"),
        )


def _count(kind: str, found: int, wanted: int, advice: str) -> Finding:
    part = _at_least(kind, found, wanted)
    words = kind if wanted > 1 else kind[:-1]
    demand = {
        "signatures": f"{wanted} {words} by trusted keys",
        "approvals": f"{wanted} {words} by others",
    }[kind]
    return Finding(demand, kind, (part,), advice=None if part.is_met else advice)


def _ignored(count: int, noun: str, why: str) -> str:
    if count == 0:
        return ""
    return f" ({count} {noun}{'s' if count > 1 else ''} {why} left out)"


def _evaluation(demand: EvaluationDemand, known: Iterable[Measured]) -> Finding:
    known = list(known)
    fitting = [one for one in known if _counts(demand, one)]
    words = "evaluation"
    if demand.signed:
        words = "signed evaluation"
    if demand.against is not None:
        words += f" against {demand.against}"
    if not fitting:
        who = "signed by a key" if demand.signed else "by somebody"
        advice = (
            f"post an {words.removeprefix('signed ')} of the version {who} that the"
            " namespace trusts"
            + _ignored(len(known), "evaluation", "of another kind or not trusted")
        )
        return Finding(words, "evaluation", tuple(_unseen(demand)), advice=advice)
    tried = [(one, tuple(_parts(demand, one))) for one in fitting]
    # The one that misses least; of equal ones always the same, whatever their order.
    nearest, parts = min(tried, key=lambda pair: (*_distance(pair[1]), pair[0].digest))
    return Finding(
        words,
        "evaluation",
        parts,
        evidence=nearest.digest,
        advice=_evaluation_advice(demand, nearest, parts),
    )


def _counts(demand: EvaluationDemand, one: Measured) -> bool:
    if not one.is_trusted or (demand.signed and not one.key_is_trusted):
        return False
    return demand.against in (None, one.against)


def _parts(demand: EvaluationDemand, one: Measured) -> Iterator[Part]:
    for name in ("harmful_samples", "harmless_samples"):
        yield _at_least(name, getattr(one, name), getattr(demand, name))
    for name in ("harm", "over_refusal"):
        bound: AtMost | None = getattr(demand, name)
        if bound is not None:
            high = getattr(one, name).high
            yield _held(
                f"{name}.upper_end",
                high,
                f"at most {bound.upper_end_at_most}",
                high - bound.bound,
            )
    if demand.J is not None:
        yield _held(
            "J.lower_end",
            one.J.low,
            f"at least {demand.J.lower_end_at_least}",
            demand.J.bound - one.J.low,
        )


def _unseen(demand: EvaluationDemand) -> Iterator[Part]:
    nothing = Ends(0, 0, 0)
    empty = Measured("", "", 0, 0, nothing, nothing, nothing, False, False)  # noqa: FBT003
    for part in _parts(demand, empty):
        yield Part(part.measure, False, part.wanted)  # noqa: FBT003


def _held(measure: str, found: float, wanted: str, missed_by: float) -> Part:
    is_met = missed_by <= 0
    missed = None if is_met else decimal_text(missed_by)
    return Part(measure, is_met, wanted, decimal_text(found), missed)


def _at_least(measure: str, found: int, wanted: int) -> Part:
    missed = None if found >= wanted else str(wanted - found)
    return Part(measure, missed is None, f"at least {wanted}", str(found), missed)


def _distance(parts: Iterable[Part]) -> tuple[int, float]:
    missed = [float(part.missed_by) for part in parts if part.missed_by is not None]
    return len(missed), sum(missed)


def _evaluation_advice(
    demand: EvaluationDemand, nearest: Measured, parts: Iterable[Part]
) -> str | None:
    missed = {part.measure for part in parts if not part.is_met}
    if not missed:
        return None
    advice = []
    for name, samples in (
        ("harm", nearest.harmful_samples),
        ("over_refusal", nearest.harmless_samples),
    ):
        bound: AtMost | None = getattr(demand, name)
        if bound is None or f"{name}.upper_end" not in missed:
            continue
        if getattr(nearest, name).value >= bound.bound:
            advice.append(f"{name} itself is too high: another version has to lower it")
            continue
        least = samples_needed(bound.bound)
        if samples < least:
            advice.append(
                f"with {samples} answers the interval of {name} cannot be so low: it"
                f" takes at least {least}"
            )
        else:
            advice.append(f"measure {name} on more prompts to narrow its interval")
    if demand.J is not None and "J.lower_end" in missed:
        advice.append(
            "J itself is too low: another version has to raise it"
            if nearest.J.value <= demand.J.bound
            else "measure J on more prompts to narrow its interval"
        )
    if missed & {"harmful_samples", "harmless_samples"}:
        advice.append("post an evaluation on as many prompts as are wanted")
    return "; ".join(advice)


def samples_needed(bound: float) -> int:
    """Answers it takes, at least, for an interval's upper end to be at most this.

    That many, if not one of them is a hit: the end is then z² / (n + z²).
    """
    return math.ceil(Z * Z * (1 - bound) / bound)
