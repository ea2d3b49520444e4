"""Which charts a report's page shows, and what they say in words."""

from collections.abc import Mapping

from safegene.evaluation.charts import (
    Bar,
    Segment,
    interval_dots,
    layer_columns,
    plain_bars,
    stacked_bars,
)
from safegene.evaluation.evaluation import LOOKALIKE
from safegene.evaluation.markup import Markup, element
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.report import (
    ALIGNED,
    REPAIRED,
    TARGET,
    Recalibration,
    Report,
)

STACKED = (
    (Outcome.REFUSE, "refuses"),
    (Outcome.COMPLY, "complies"),
    (Outcome.OFF_TASK, "off-task"),
    (Outcome.DEGENERATE, "degenerate"),
)
SET_NAMES = {LOOKALIKE: "look-alike harmless"}
SPREAD = (
    "95 % intervals, how far other prompts of the same kind would move it, by one"
    " Newton step a resample: an approximation."
)
PERCENT_TICKS = ((0.0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"))


def legend() -> Markup:
    """What the colors of the stacked bars mean."""
    return element(
        "ul",
        *(
            element("li", element("i", class_=str(outcome)), name)
            for outcome, name in STACKED
        ),
        class_="legend",
    )


def outcome_chart(report: Report, set_name: str) -> Markup:
    """The four outcomes of every model on one set of prompts."""
    rows = []
    told = []
    for model in report.models:
        segments = [
            Segment(name, str(outcome), report.share(model, set_name, outcome))
            for outcome, name in STACKED
        ]
        refuses = f"refuses {segments[0].share:.0%}".replace("%", " %")
        rows.append((Bar(model, refuses, model == REPAIRED), segments))
        parts = ", ".join(f"{part.name} {part.share:.0%}" for part in segments)
        told.append(f"{model}: {parts}")
    n = next(iter(report.refusal.values()))[set_name].n
    title = f"On {n} {SET_NAMES.get(set_name, set_name)} prompts"
    return _figure(title, "", stacked_bars(title, "; ".join(told), rows))


def discrimination_chart(report: Report) -> Markup:
    """J of every model with its interval."""
    return _j_chart("J, discrimination", report.j)


def further_charts(report: Report) -> list[Markup]:
    """J of every model against each harmless set but the look-alikes."""
    names = dict.fromkeys(name for each in report.j_by_set.values() for name in each)
    return [
        _j_chart(
            f"J against {name}",
            {
                model: by_set[name]
                for model, by_set in report.j_by_set.items()
                if name in by_set
            },
        )
        for name in names
        if name != LOOKALIKE
    ]


def _j_chart(title: str, by_model: Mapping[str, Estimate]) -> Markup:
    lowest = min(found.low for found in by_model.values())
    start = -1.0 if lowest < -0.5 else -0.5 if lowest < 0 else 0.0  # noqa: PLR2004
    ticks = [(start + step * 0.5, f"{start + step * 0.5:.1f}") for step in range(5)]
    ticks = [(at, label.replace("-", "−")) for at, label in ticks if at <= 1.0]  # noqa: RUF001
    rows = [
        (Bar(model, str(found), model == REPAIRED), found)
        for model, found in by_model.items()
    ]
    guides = {
        f"{name}: {by_model[name].value:.2f}": by_model[name].value
        for name in (ALIGNED, TARGET)
        if name in by_model
    }
    told = "; ".join(f"{bar.name} {bar.reading}" for bar, _ in rows)
    caption = "Further right is better."
    if guides:
        caption += " Dashed: aligned and target."
    chart = interval_dots(title, told, rows, ticks=ticks, guides=guides)
    return _figure(title, caption, chart)


def accuracy_chart(report: Report) -> Markup:
    """Task accuracy of every model with its interval."""
    rows = []
    for model, found in report.task_accuracy.items():
        value, low, high = (
            round(100 * part, 1) for part in (found.value, found.low, found.high)
        )
        reading = f"{value:.1f} % [{low:.0f}, {high:.0f}]"
        rows.append((Bar(model, reading, model == REPAIRED), found))
    accuracy = report.task_accuracy.get(TARGET)
    guides = {f"{TARGET}: {accuracy.value:.1%}": accuracy.value} if accuracy else {}
    n = rows[0][1].n
    told = "; ".join(f"{bar.name} {bar.reading}" for bar, _ in rows)
    title = "Accuracy on the fine-tuned task"
    caption = f"{n} test rows." + (" Dashed: target." if guides else "")
    ticks = [*PERCENT_TICKS, (1.0, "100 %")]
    chart = interval_dots(title, told, rows, ticks=ticks, guides=guides)
    return _figure(title, caption, chart)


def coefficient_chart(
    found: Recalibration, ends: Mapping[int | str, tuple[float, float]] | None = None
) -> Markup:
    """The coefficient of every layer, with its interval where there is one."""
    known = ends or {}
    intervals = {layer: known[layer] for layer in found.coefficients if layer in known}
    values = found.coefficients
    title = "Coefficients by layer"
    told = ", ".join(f"layer {layer} {value:.2f}" for layer, value in values.items())
    caption = f"{len(values)} layers, {min(values.values()):.2f} to"
    caption += f" {max(values.values()):.2f}."
    if found.uniform_coefficient is not None:
        caption += f" Dashed: the best uniform one, {found.uniform_coefficient:.2f}."
    if intervals:
        caption += f" Lines: {SPREAD}"
    guide = found.uniform_coefficient
    chart = layer_columns(title, told, values, guide=guide, intervals=intervals)
    return _figure(title, caption, chart)


def divergence_chart(found: Recalibration) -> Markup:
    """How far the target moved, against how far it may."""
    rows = [(Bar("realised", f"{found.kl:.4f}", stressed=True), found.kl)]
    if found.predicted_kl is not None:
        told = f"{found.predicted_kl:.4f}"
        rows.append((Bar("predicted", told), found.predicted_kl))
    title = "Calibration KL, against the budget"
    caption = f"Nats per token. The line is the budget, {found.budget:.4f}."
    summary = "; ".join(f"{bar.name} {bar.reading}" for bar, _ in rows)
    chart = plain_bars(title, summary, rows, marks={"budget": found.budget})
    cost = (
        f"Took {found.seconds:.1f} seconds and {found.forward_equivalents} forward"
        " equivalents."
    )
    if found.objective_before is not None and found.objective_after is not None:
        cost += (
            f" Objective {found.objective_before:.3f} before,"
            f" {found.objective_after:.3f} after"
        )
        if found.objective_uniform is not None:
            cost += f", {found.objective_uniform:.3f} with the best uniform coefficient"
        cost += " (lower is better)."
    return _figure(title, caption, chart, cost)


def time_chart(report: Report) -> Markup:
    """Seconds by step."""
    rows = [
        (Bar(step, f"{seconds:.1f} s"), seconds)
        for step, seconds in report.seconds.items()
    ]
    told = "; ".join(f"{bar.name} {bar.reading}" for bar, _ in rows)
    return plain_bars("Seconds by step", told, rows)


def _figure(title: str, caption: str, chart: Markup, after: str = "") -> Markup:
    told = [element("div", caption, class_="note")] if caption else []
    closing = [element("p", after, class_="note after")] if after else []
    return element(
        "figure",
        element("figcaption", element("h3", title), *told),
        chart,
        *closing,
        class_="card",
    )
