"""The tables and figures in words of a report's page."""

from collections.abc import Callable, Sequence
from functools import partial

from safegene.evaluation.evaluation import HARMFUL, LOOKALIKE, Margin
from safegene.evaluation.markup import Markup, element
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.report import ALIGNED, REPAIRED, TARGET, Report, sets_of
from safegene.evaluation.report_text import (
    difference_rows,
    judge_rows,
    kl_text,
    percent,
)

SET_HEADINGS = {LOOKALIKE: "look-alike"}


def tiles(report: Report) -> str:
    """The few figures that tell the story; nothing where the models tell none."""
    if not {ALIGNED, TARGET, REPAIRED} <= report.j.keys():
        return ""
    shown = [_tile("J, aligned", _points(report.j[ALIGNED]))]
    shown.append(_tile("J, fine-tuned", _points(report.j[TARGET])))
    shown.append(_tile("J, with the vector", _points(report.j[REPAIRED])))
    if REPAIRED in report.recovery:
        won = report.recovery[REPAIRED]
        value, interval = percent(won).split(" [")
        shown.append(_tile("Lost J won back", (value, f"[{interval}")))
    if {TARGET, REPAIRED} <= report.task_accuracy.keys():
        accuracy = report.task_accuracy[REPAIRED].value
        change = 100 * (accuracy - report.task_accuracy[TARGET].value)
        told = f"{change:+.1f} points".replace("-", "−")  # noqa: RUF001
        shown.append(_tile("Task accuracy", (f"{100 * accuracy:.1f} %", told)))
    if report.recalibration:
        cost = report.recalibration
        kl = f"calibration KL {cost.kl:.3g} of {cost.budget:.3g}"
        shown.append(_tile("Recalibration", (f"{cost.seconds:.0f} s", kl)))
    return element("dl", *shown, class_="tiles")


def claims_table(report: Report) -> Markup:
    """Every claim with what was asked for and what came out."""
    rows = [
        element(
            "tr",
            element("th", claim.claim, scope="row"),
            element("td", claim.target, data_label="asked for"),
            element("td", claim.measured, data_label="measured"),
            element("td", _badge("holds" if claim.passed else "fails", claim.passed)),
        )
        for claim in report.claims
    ]
    return _table(("Claim", "Asked for", "Measured", ""), rows, "stacked")


def compatibility_table(report: Report) -> Markup:
    """The registry's verdict on each model."""
    rows = [
        element(
            "tr",
            element("th", row.model, scope="row"),
            element("td", _badge(row.level, row.fits)),
            element("td", "; ".join(row.reasons) or "–"),  # noqa: RUF001
        )
        for row in report.compatibility
    ]
    return _table(("Model", "Verdict", "Reasons"), rows, "stacked")


def figures_table(report: Report) -> Markup:
    """All figures of all models, for those who want numbers."""
    columns = _columns(report)
    rows = []
    for name, description in report.models.items():
        about = [element("small", description)] if description else []
        head = element("th", name, *about, scope="row")
        rows.append(element("tr", head, *(cell(name) for cell in columns.values())))
    return _table(["Model", *columns], rows)


def _columns(report: Report) -> dict[str, Callable[[str], Markup]]:
    """What to write for a model, by heading; columns nobody fills are left out."""
    columns: dict[str, Callable[[str], Markup]] = {
        "J": lambda model: _cell(*_points(report.j[model]))
    }
    for each in sets_of(report):
        heading = f"Refuses {SET_HEADINGS.get(each, each)}"
        columns[heading] = partial(_refuses, report, each)
    columns["Degenerate"] = lambda model: _pair(report, model, Outcome.DEGENERATE)
    columns["Off-task"] = lambda model: _pair(report, model, Outcome.OFF_TASK)
    if report.task_accuracy:
        columns["Accuracy"] = lambda model: _share(report.task_accuracy.get(model))
    if report.margin:
        columns["Margin AUROC"] = lambda model: _auroc(report.margin.get(model))
    for each in dict.fromkeys(name for found in report.kl.values() for name in found):
        columns[f"Evaluation KL {each}"] = partial(_divergence, report, each)
    if report.recovery:
        columns["Won back"] = lambda model: _share(report.recovery.get(model))
    return columns


def differences_table(report: Report) -> Markup:
    """Each model against the baseline, figure by figure, in points."""
    rows = []
    for name, figure, told, p_value in difference_rows(report):
        value, interval = told.replace("-", "−").split(" [")  # noqa: RUF001
        head = element("th", name, element("small", figure), scope="row")
        cells = (_cell(value, f"[{interval}"), _cell(p_value or "–", ""))  # noqa: RUF001
        rows.append(element("tr", head, *cells))
    return _table(("Model", "Points", "McNemar"), rows)


def categories_table(report: Report) -> Markup:
    """Refusal of harmful prompts by category and model."""
    models = report.refusal_by_category
    counts = {name: each.n for found in models.values() for name, each in found.items()}
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            element("td", str(counts[name])),
            *(_share(found.get(name)) for found in models.values()),
        )
        for name in sorted(counts)
    ]
    return _table(["Category", "n", *models], rows)


def judges_table(report: Report) -> Markup:
    """Who decided each model's outcomes, and how far a second judge agrees."""
    rows = [
        element(
            "tr",
            element("th", name, scope="row"),
            *(_with_interval(cell) for cell in cells),
        )
        for name, *cells in judge_rows(report)
    ]
    return _table(("Model", "Judge", "Second judge", "Kappa", "Same verdict"), rows)


def facts_list(report: Report) -> str:
    """Whatever else was said about the run."""
    if not report.facts:
        return ""
    pairs = [
        part
        for name, value in report.facts.items()
        for part in (element("dt", name), element("dd", value))
    ]
    return element("dl", *pairs, class_="facts")


def _tile(name: str, told: tuple[str, str]) -> Markup:
    figure, aside = told
    return element(
        "div",
        element("dt", name),
        element("dd", figure, class_="figure"),
        element("dd", aside, class_="aside"),
    )


def _points(found: Estimate) -> tuple[str, str]:
    value, interval = str(found).split(" [")
    return value, f"[{interval}"


def _with_interval(text: str) -> Markup:
    value, _, interval = text.partition(" [")
    shown = "–" if value == "-" else value  # noqa: RUF001
    return _cell(shown, f"[{interval}" if interval else "")


def _badge(text: str, good: bool) -> Markup:  # noqa: FBT001 - private, reads well
    return element("span", text, class_=f"badge {'good' if good else 'bad'}")


def _cell(value: str, aside: str) -> Markup:
    return element("td", value, element("small", aside))


def _refuses(report: Report, set_name: str, model: str) -> Markup:
    return _share(report.refusal[model].get(set_name))


def _divergence(report: Report, set_name: str, model: str) -> Markup:
    found = report.kl.get(model, {}).get(set_name)
    if found is None:
        return _cell("–", "")  # noqa: RUF001
    value, interval = kl_text(found).split(" [")
    return _cell(value, f"[{interval}")


def _auroc(margin: Margin | None) -> Markup:
    return _cell(f"{margin.auroc:.2f}", "") if margin else _cell("–", "")  # noqa: RUF001


def _share(found: Estimate | None) -> Markup:
    if found is None:
        return _cell("–", "")  # noqa: RUF001
    value, interval = percent(found).split(" [")
    return _cell(value, f"[{interval}")


def _pair(report: Report, model: str, outcome: Outcome) -> Markup:
    harmful, lookalike = (
        f"{100 * report.share(model, name, outcome):.0f}"
        for name in (HARMFUL, LOOKALIKE)
    )
    return _cell(f"{harmful} / {lookalike} %", "harmful / like")


def _table(
    headings: Sequence[str], rows: Sequence[Markup], css: str | None = None
) -> Markup:
    head = element("tr", *(element("th", text, scope="col") for text in headings))
    table = element(
        "table", element("thead", head), element("tbody", *rows), class_=css
    )
    # Wide tables scroll by themselves; the keyboard can reach that, too.
    return element("div", table, class_="scroll", tabindex="0")
