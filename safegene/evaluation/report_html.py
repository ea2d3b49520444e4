"""The report as one page that needs nothing else: no script, no font, no picture.

Reads well on a phone and on a desk, in light and in dark, on paper and to a screen
reader: every chart has words beside it and its figures stand in a table below.
"""

from importlib.resources import files
from pathlib import Path

from safegene.evaluation.evaluation import HARMFUL, LOOKALIKE
from safegene.evaluation.markup import Markup, element, join
from safegene.evaluation.report import ALIGNED, REPAIRED, TARGET, Report, sets_of
from safegene.evaluation.report_charts import (
    accuracy_chart,
    coefficient_chart,
    discrimination_chart,
    divergence_chart,
    further_charts,
    legend,
    outcome_chart,
    time_chart,
)
from safegene.evaluation.report_tables import (
    categories_table,
    claims_table,
    compatibility_table,
    differences_table,
    facts_list,
    figures_table,
    judges_table,
    tiles,
)

ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'"
    "%3E%3Crect width='16' height='16' rx='4' fill='%232f6db3'/%3E%3Cpath d='M4 8.5l3"
    " 3 5-7' fill='none' stroke='white' stroke-width='2'/%3E%3C/svg%3E"
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The page may load nothing, so it stays whole and tells nobody it was opened."""


def write_html(report: Report, path: Path) -> None:
    """Write the page to a file."""
    path.write_text(render_html(report), encoding="utf-8")


def render_html(report: Report) -> str:
    """The page as text; the same report always gives the same page."""
    style = files("safegene.evaluation").joinpath("page.css").read_text("utf-8")
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", report.title),
        Markup(f'<link rel="icon" href="{ICON}">'),
        element("style", Markup(style)),
    )
    sections = [
        _claims(report),
        _answers(report),
        _figures(report),
        _differences(report),
        _categories(report),
        _judges(report),
        _recalibration(report),
        _compatibility(report),
        _time(report),
        _method(report),
    ]
    main = element("main", *(section for section in sections if section))
    body = element("body", _header(report), main, _footer(report))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'


def _header(report: Report) -> Markup:
    return element(
        "header",
        element("h1", report.title),
        element("p", _summary(report), class_="lead"),
        _verdict(report),
        tiles(report),
    )


def _summary(report: Report) -> str:
    """The story in a sentence or two, as far as the models tell one."""
    j = report.j
    if not {ALIGNED, TARGET, REPAIRED} <= j.keys():
        return (
            "J is the refusal rate on harmful prompts minus the refusal rate on"
            " harmless prompts that look like them: refusing everything scores 0."
        )
    story = (
        f"Harmless fine-tuning took the model's J from {j[ALIGNED].value:.2f} to"
        f" {j[TARGET].value:.2f}; with the vector, recalibrated for it, J is"
        f" {j[REPAIRED].value:.2f}."
    )
    return (
        f"{story} J is the refusal rate on harmful prompts minus the refusal rate on"
        " harmless prompts that look like them: refusing everything scores 0."
    )


def _verdict(report: Report) -> str:
    if not report.claims and not report.not_evaluable:
        return ""
    count = len(report.claims)
    if report.passed:
        told = "The one claim holds." if count == 1 else f"All {count} claims hold."
        mark = element("span", "✓", aria_hidden="true")
        return element("div", mark, told, class_="verdict good")
    missed = sum(not claim.passed for claim in report.claims)
    heading = f"{missed} of {count} claims {'does' if missed == 1 else 'do'} not hold."
    if report.not_evaluable:
        heading = "Not evaluable."
    reasons = element("ul", *(element("li", why) for why in report.failures))
    return element(
        "div",
        element("span", "✗", aria_hidden="true"),
        element("div", heading, reasons),
        class_="verdict bad",
    )


def _claims(report: Report) -> str:
    if not report.claims:
        return ""
    return _section(
        "What was promised, what came out",
        "Checked by the run itself; it fails when one of these does.",
        element("div", claims_table(report), class_="card"),
    )


def _answers(report: Report) -> Markup:
    return _section(
        "What the models answer",
        f"Every answer is one of four things, judged by {_judged_by(report)}. On"
        " harmful prompts a refusal is wanted, on look-alike harmless ones compliance.",
        legend(),
        element(
            "div",
            *(outcome_chart(report, name) for name in sets_of(report)),
            class_="pair",
        ),
    )


def _figures(report: Report) -> Markup:
    charts = [discrimination_chart(report), *further_charts(report)]
    if report.task_accuracy:
        charts.append(accuracy_chart(report))
    return _section(
        "Does it tell harmful from harmless?",
        "Dots are measured values, lines their 95 % bootstrap intervals.",
        element("div", *charts, class_="pair"),
        element(
            "details",
            element("summary", "All figures in a table"),
            figures_table(report),
        ),
    )


def _differences(report: Report) -> str:
    if not report.differences:
        return ""
    return _section(
        f"Against {report.differences[0].baseline}",
        "Differences in points, paired prompt by prompt, with 95 % bootstrap intervals;"
        " McNemar's exact test where a figure is one rate.",
        element("div", differences_table(report), class_="card"),
    )


def _categories(report: Report) -> str:
    if not report.refusal_by_category:
        return ""
    return _section(
        "Harm by harm",
        "Refusal of harmful prompts by category, with intervals.",
        element("div", categories_table(report), class_="card"),
    )


def _judges(report: Report) -> str:
    if not report.judges and not report.agreement:
        return ""
    return _section(
        "Who judged",
        "Cohen's kappa with a second judge over all answers: 0 is chance, 1 perfect.",
        element("div", judges_table(report), class_="card"),
    )


def _recalibration(report: Report) -> str:
    found = report.recalibration
    if found is None:
        return ""
    charts = []
    if found.coefficients:
        charts.append(coefficient_chart(found))
    charts.append(divergence_chart(found))
    return _section(
        "Recalibration",
        "One coefficient per layer, found for this target within a budget of how far"
        " its own behavior may move.",
        element("div", *charts, class_="pair"),
        *(element("p", f"Warning: {text}", class_="note") for text in found.warnings),
    )


def _compatibility(report: Report) -> str:
    if not report.compatibility:
        return ""
    return _section(
        "What the vector fits",
        "The registry's answer for each model, with its reasons.",
        element("div", compatibility_table(report), class_="card"),
    )


def _time(report: Report) -> str:
    if not report.seconds:
        return ""
    return _section(
        "Where the time went",
        f"{sum(report.seconds.values()):.0f} seconds in all.",
        element("div", time_chart(report), class_="card"),
    )


def _method(report: Report) -> Markup:
    refusal = next(iter(report.refusal.values()))
    return _section(
        "How it was measured",
        "",
        element(
            "p",
            f"Greedy answers to {refusal[HARMFUL].n} harmful and"
            f" {refusal[LOOKALIKE].n} look-alike harmless prompts, their outcome"
            f" decided by {_judged_by(report)}: degenerate is empty or repetitive,"
            " off-task is a label of the fine-tuned task in place of an answer."
            " Intervals are percentile bootstrap over prompts, 2000 resamples, seeded;"
            " models are compared prompt by prompt.",
        ),
        facts_list(report),
    )


def _judged_by(report: Report) -> str:
    names = [*dict.fromkeys(report.judges.values())]
    return " or ".join(names) if names else "rules on its text, without a judge"


def _footer(report: Report) -> Markup:
    return element(
        "footer",
        "Measured by SafeGene at ",
        element("code", report.commit),
        ". This page holds neither prompts nor answers, and loads nothing.",
    )


def _section(heading: str, note: str, *content: str) -> Markup:
    told = [element("p", note, class_="note")] if note else []
    return element("section", element("h2", heading), *told, *content)
