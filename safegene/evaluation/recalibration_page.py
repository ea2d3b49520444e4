"""One calibration as a page: what was found, at what price, and the way there.

Needs nothing else, as the evaluation's page does not: no script, no font, no picture.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files

from safegene.artifact.calibration import Calibration
from safegene.evaluation.charts import Bar, Dot, plain_bars, scatter
from safegene.evaluation.markup import Markup, element, join
from safegene.evaluation.report import Recalibration
from safegene.evaluation.report_charts import (
    SPREAD,
    coefficient_chart,
    divergence_chart,
)
from safegene.evaluation.report_html import ICON, POLICY

MOST_MODULES = 40
"""More bars than that are no picture; the largest ones are shown."""


def render_recalibration(
    calibration: Calibration,
    way: Sequence[Dot],
    *,
    seconds: float,
    intervals: Mapping[int | str, tuple[float, float]] | None = None,
) -> str:
    """The page as text; the same calibration always gives the same page.

    Args:
        calibration: what was found.
        way: the measured points, KL across and J of the answers' openings up.
        seconds: how long it took.
        intervals: of the coefficients, 95 %, by layer or module.
    """
    found = Recalibration.of(calibration, seconds=seconds)
    style = files("safegene.evaluation").joinpath("page.css").read_text("utf-8")
    title = f"Recalibration of {calibration.vector}"
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", title),
        Markup(f'<link rel="icon" href="{ICON}">'),
        element("style", Markup(style)),
    )
    by_module = calibration.granularity == "module"
    ends = intervals or {}
    coefficients = (
        _modules(calibration, ends) if by_module else coefficient_chart(found, ends)
    )
    charts = [coefficients, divergence_chart(found)]
    if way:
        charts.append(_frontier(way, float(calibration.budget)))
    warnings = [
        element("p", f"Warning: {text}", class_="note") for text in calibration.warnings
    ]
    gain = calibration.gain
    lead = (
        f"Solver {calibration.solver}. The objective fell by {gain.value}"
        f" [{gain.low}, {gain.high}], on the prompts it was calibrated on:"
        " prove the result on others."
    )
    header = element("header", element("h1", title), element("p", lead, class_="lead"))
    main = element("main", element("section", *charts, *warnings))
    body = element("body", header, main)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'


def _frontier(way: Sequence[Dot], budget: float) -> Markup:
    title = "J against calibration KL"
    told = "; ".join(f"{dot.name}: KL {dot.x:.4f}, J {dot.y:.2f}" for dot in way)
    caption = (
        "Every point measured, the result stressed. J is of the answers' openings:"
        " the share of harmful prompts whose likelier opening is a refusal, less that"
        " of look-alike ones. Up and to the left is better; the line is the budget."
    )
    chart = scatter(title, told, way, guide=budget)
    return _figure(title, caption, chart)


def _modules(
    calibration: Calibration, ends: Mapping[int | str, tuple[float, float]]
) -> Markup:
    ranked = sorted(calibration.by_module.items(), key=lambda pair: -abs(pair[1]))
    shown = dict(ranked[:MOST_MODULES])
    rows = [
        (Bar(path, f"{shown[path]:.2f}{_ends(ends.get(path))}"), abs(shown[path]))
        for path in calibration.by_module
        if path in shown
    ]
    title = "Coefficients by module"
    told = "; ".join(f"{bar.name} {bar.reading}" for bar, _ in rows)
    caption = f"{len(rows)} of {len(ranked)} modules, those of largest coefficient."
    if ends:
        caption += f" In brackets: {SPREAD}"
    return _figure(title, caption, plain_bars(title, told, rows))


def _ends(found: tuple[float, float] | None) -> str:
    return "" if found is None else f" [{found[0]:.2f}, {found[1]:.2f}]"


def _figure(title: str, caption: str, chart: Markup) -> Markup:
    note = element("div", caption, class_="note")
    named = element("figcaption", element("h3", title), note)
    return element("figure", named, chart, class_="card")
