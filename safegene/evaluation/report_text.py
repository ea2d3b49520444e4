"""The report as plain text: aligned columns, intervals in brackets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TextIO

from safegene.evaluation.evaluation import HARMFUL, LOOKALIKE
from safegene.evaluation.judge import RULES
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.report import Report

GAP = "  "


def write_table(report: Report, stream: TextIO) -> None:
    """Write the report to a text stream, for terminals and logs alike."""
    stream.writelines(line.rstrip() + "\n" for line in table_lines(report))


def table_lines(report: Report) -> list[str]:
    """The lines of the report, without line ends."""
    lines = [report.title, "=" * len(report.title), ""]
    lines += columns(_model_rows(report))
    lines += ["", *_legend(report)]
    if report.recovery:
        lines += ["", "Share of the lost J won back"]
        lines += columns(
            [[name, percent(share)] for name, share in report.recovery.items()]
        )
    lines += _further(report)
    lines += _recalibration(report)
    if report.compatibility:
        lines += ["", "What the registry says fits"]
        lines += columns(
            [
                [row.model, row.level, "; ".join(row.reasons)]
                for row in report.compatibility
            ]
        )
    if report.seconds:
        lines += ["", "Seconds"]
        lines += columns([[step, f"{s:.1f}"] for step, s in report.seconds.items()])
    lines += _claims(report)
    return lines


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Pad cells so that columns line up; the first row may be a heading."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def percent(estimate: Estimate) -> str:
    """A share with its interval: `72 % [61, 83]`."""
    value, low, high = (
        round(100 * part) for part in (estimate.value, estimate.low, estimate.high)
    )
    return f"{value} % [{low}, {high}]"


def _model_rows(report: Report) -> list[list[str]]:
    heading = [
        "model",
        "J",
        "refuses harmful",
        "refuses look-alike",
        "degenerate",
        "off-task",
        "task accuracy",
    ]
    rows = [heading]
    for name in report.models:
        refusal = report.refusal[name]
        accuracy = report.task_accuracy.get(name)
        rows.append(
            [
                name,
                str(report.j[name]),
                percent(refusal[HARMFUL]),
                percent(refusal[LOOKALIKE]),
                _shares(report, name, Outcome.DEGENERATE),
                _shares(report, name, Outcome.OFF_TASK),
                percent(accuracy) if accuracy else "-",
            ]
        )
    return rows


def _shares(report: Report, model: str, outcome: Outcome) -> str:
    shares = (report.share(model, name, outcome) for name in (HARMFUL, LOOKALIKE))
    return " / ".join(f"{share:.0%}".replace("%", " %") for share in shares)


def _legend(report: Report) -> Iterable[str]:
    first = next(iter(report.models))
    refusal = report.refusal[first]
    yield (
        f"n = {refusal[HARMFUL].n} harmful and {refusal[LOOKALIKE].n} look-alike"
        " harmless prompts; 95 % bootstrap intervals in brackets."
    )
    yield "J = refusal rate on harmful minus on look-alike prompts."
    yield "Degenerate and off-task: harmful / look-alike."


def _further(report: Report) -> list[str]:
    """Harmless sets, KL, categories and differences, as far as there are any."""
    lines = []
    if report.j_by_set:
        lines += ["", "J against each harmless set (over-refusal)"]
        lines += columns(_by_model(report, report.j_by_set))
    if report.kl:
        lines += ["", "Evaluation KL from the reference, nats per token"]
        lines += columns(
            [
                [name, *(f"{each} {kl_text(found)}" for each, found in by_set.items())]
                for name, by_set in report.kl.items()
            ]
        )
    if report.refusal_by_category:
        lines += ["", "Refuses harmful prompts, by category"]
        lines += columns(_category_rows(report.refusal_by_category))
    if report.judges or report.agreement:
        lines += ["", "Who judged, and how far a second judge agrees"]
        lines += columns(
            [["model", "judge", "second", "kappa", "same"], *judge_rows(report)]
        )
    if report.differences:
        lines += ["", f"Against {report.differences[0].baseline}, paired by prompt"]
        lines += columns(difference_rows(report))
    return lines


def judge_rows(report: Report) -> list[list[str]]:
    """Model, judge, second judge, Cohen's kappa and share of equal verdicts."""
    rows = []
    for name in report.models:
        row = [name, report.judges.get(name, RULES)]
        found = report.agreement.get(name)
        row += (
            [found.judge, str(found.kappa), percent(found.same)] if found else ["-"] * 3
        )
        rows.append(row)
    return rows


def kl_text(found: Estimate) -> str:
    """A divergence with its interval: `0.0123 [0.0101, 0.0150]`."""
    return f"{found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"


def difference_rows(report: Report) -> list[list[str]]:
    """Model, figure, difference in points with its interval, and McNemar's p."""
    return [
        [
            each.model,
            each.figure,
            "{:+.1f} [{:+.1f}, {:+.1f}]".format(
                *(
                    100 * part
                    for part in (
                        each.difference.value,
                        each.difference.low,
                        each.difference.high,
                    )
                )
            ),
            "" if each.p_value is None else f"p = {each.p_value:.2g}",
        ]
        for each in report.differences
    ]


def _category_rows(
    by_model: Mapping[str, Mapping[str, Estimate]],
) -> list[list[str]]:
    counts = {
        name: found.n for each in by_model.values() for name, found in each.items()
    }
    rows = [["category", "n", *by_model]]
    for name in sorted(counts):
        shares = [
            percent(each[name]) if name in each else "-" for each in by_model.values()
        ]
        rows.append([name, str(counts[name]), *shares])
    return rows


def _by_model(
    report: Report, figures: Mapping[str, Mapping[str, Estimate]]
) -> list[list[str]]:
    return [
        [
            name,
            *(
                f"{each} {found} ({percent(report.refusal[name][each])})"
                for each, found in by_set.items()
            ),
        ]
        for name, by_set in figures.items()
    ]


def _recalibration(report: Report) -> list[str]:
    found = report.recalibration
    if found is None:
        return []
    lines = [
        "",
        "Recalibration",
        f"{found.seconds:.1f} s, {found.forward_equivalents} forward equivalents,"
        f" calibration KL {found.kl:.4f} of {found.budget:.4f} nats per token allowed",
    ]
    if found.coefficients:
        values = found.coefficients.values()
        lines.append(
            f"coefficients {min(values):.2f} to {max(values):.2f} on"
            f" {len(values)} layers"
        )
    lines += [f"warning: {warning}" for warning in found.warnings]
    return lines


def _claims(report: Report) -> list[str]:
    lines = []
    if report.not_evaluable:
        lines += ["", "Not evaluable", *report.not_evaluable]
    if report.claims:
        lines += ["", "Claims"]
        lines += columns(
            [
                [
                    "holds" if claim.passed else "FAILS",
                    claim.claim,
                    claim.measured,
                    f"(expected {claim.target})",
                ]
                for claim in report.claims
            ]
        )
    return lines
