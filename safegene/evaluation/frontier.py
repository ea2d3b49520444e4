"""Calibrations of several budgets side by side: what more KL buys, as words and a page.

J is measured where a calibration comes with an evaluation; otherwise only the objective
on the prompts calibrated on is known. Needs no torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from safegene.artifact.calibration import Calibration
from safegene.evaluation.charts import Dot, scatter
from safegene.evaluation.evaluation import Evaluation
from safegene.evaluation.markup import Markup, element, join
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.report_html import ICON, POLICY

HEADINGS = ("calibration", "budget", "calibration KL", "objective falls by", "J")


@dataclass(frozen=True)
class FrontierPoint:
    """One calibration, and what was measured with it."""

    name: str
    calibration: Calibration
    evaluation: Evaluation | None = None

    @property
    def kl(self) -> float:
        """Realised, in nats per token."""
        return float(self.calibration.realised_kl)

    @property
    def gain(self) -> float:
        """How much the objective fell on the prompts calibrated on."""
        return float(self.calibration.gain.value)

    @property
    def j(self) -> Estimate | None:
        """J on prompts that were not calibrated on, where it was measured."""
        return None if self.evaluation is None else self.evaluation.j

    def cells(self) -> list[str]:
        """The point in words, one cell a heading."""
        gain = self.calibration.gain
        return [
            self.name,
            self.calibration.budget,
            self.calibration.realised_kl,
            f"{gain.value} [{gain.low}, {gain.high}]",
            "-" if self.j is None else str(self.j),
        ]

    def as_json(self) -> dict[str, Any]:
        """The point as other tools read it."""
        gain = self.calibration.gain
        found: dict[str, Any] = {
            "name": self.name,
            "vector": self.calibration.vector,
            "solver": self.calibration.solver,
            "budget": float(self.calibration.budget),
            "kl": self.kl,
            "gain": {
                key: float(getattr(gain, key)) for key in ("value", "low", "high")
            },
        }
        if self.j is not None:
            j = self.j
            found["J"] = {
                "value": j.value,
                "low": j.low,
                "high": j.high,
                "n": j.n,
            }
        return found


def by_kl(points: Sequence[FrontierPoint]) -> list[FrontierPoint]:
    """The points in the order of what they cost."""
    return sorted(points, key=lambda point: (point.kl, point.name))


def render_frontier(points: Sequence[FrontierPoint]) -> str:
    """The page as text; the same points always give the same page.

    Args:
        points: at least one.
    """
    ordered = by_kl(points)
    style = files("safegene.evaluation").joinpath("page.css").read_text("utf-8")
    title = "What more KL buys"
    head = join(
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        element("title", title),
        Markup(f'<link rel="icon" href="{ICON}">'),
        element("style", Markup(style)),
    )
    lead = (
        "Calibrations of one vector for one target, each within its own budget. The"
        " calibration KL is what the target's own behavior really moved, in nats per"
        " token."
    )
    charts = [
        _chart(
            "Fall of the objective against calibration KL",
            "On the prompts calibrated on: prove it on others. Up and left is better.",
            [Dot(point.name, point.kl, point.gain) for point in ordered],
        )
    ]
    measured = [
        Dot(point.name, point.kl, point.j.value, stressed=True)
        for point in ordered
        if point.j is not None
    ]
    if measured:
        caption = "Measured by the evaluations given. Up and to the left is better."
        charts.insert(0, _chart("J against calibration KL", caption, measured))
    header = element("header", element("h1", title), element("p", lead, class_="lead"))
    pair = element("div", *charts, class_="pair")
    main = element("main", element("section", pair, _table(ordered)))
    body = element("body", header, main)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}</html>\n'


def _chart(title: str, caption: str, dots: Sequence[Dot]) -> Markup:
    told = "; ".join(f"{dot.name}: KL {dot.x:.4f}, {dot.y:.2f}" for dot in dots)
    note = element("div", caption, class_="note")
    named = element("figcaption", element("h3", title), note)
    chart = scatter(title, told, dots, guide=None)
    return element("figure", named, chart, class_="card")


def _table(points: Sequence[FrontierPoint]) -> Markup:
    head = element("tr", *(element("th", text, scope="col") for text in HEADINGS))
    rows = []
    for point in points:
        name, *cells = point.cells()
        told = (element("td", cell) for cell in cells)
        rows.append(element("tr", element("th", name, scope="row"), *told))
    table = element("table", element("thead", head), element("tbody", *rows))
    return element("div", table, class_="scroll card", tabindex="0")
