"""The table of docs/benchmarks/method.md: one line a row, pooled over targets."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean

from benchmarks.method.cells import Cell
from benchmarks.method.figures import Target
from benchmarks.method.plan import CEILINGS, MATCHED, MODELS, OURS
from benchmarks.method.suite import HARMLESS, LOOKALIKE, ORDINARY, XSTEST
from benchmarks.method.summary import Measured
from safegene.evaluation.metrics import auroc

TITLES = {
    "target": "target alone",
    "aligned": "aligned model",
    "degraded": "degraded model (drift)",
    "shipped": "model as shipped",
    "ours": "**ours**",
    "uniform_distilled": "ours, one coefficient for all layers",
    "ours_delta": "ours, vector of aligned minus degraded",
    "ours_adam": "ours, with Adam",
    "ours_shipped_pair": "ours, vector of aligned minus as shipped",
    "ours_quick": "ours, half the prompts a pass (`--effort quick`)",
    "ours_lookalikes": "ours, look-alikes counted twice as much",
    "uniform": "uniform coefficient (RESTA)",
    "dare": "full difference with DARE",
    "safelora": "SafeLoRA",
    "safemerge": "SafeMERGE",
    "scaled_task": "task update scaled down (WiSE-FT)",
    "random": "random vector",
    "one_shot": "one-shot refusal tuning",
    "retune": "full safety re-tuning",
    "augment": "safety data mixed into task tuning",
    "dpo": "DPO",
}
GROUPS = {
    "models": ("target", *MODELS),
    "post-hoc, no weights trained in the target": (*OURS, *MATCHED),
    "ceilings, weights trained": CEILINGS,
}
COLUMNS = (
    "row",
    "refused: harmful",
    "CoCoNot look-alikes",
    "XSTest safe",
    "Dolly",
    "J [95 %]",
    "J XSTest [95 %]",
    "comply",
    "off-task",
    "degenerate",
    "margin AUROC",
    "accuracy",
    "held-out KL",
    "forward eq.",
    "s",
    "peak MB",
    "shipped MB",
)
MEGA = 1e6
NONE = "\N{EN DASH}"


def markdown(measured: Measured) -> str:
    """The tables, by group, and which targets each line is about."""
    parts = []
    for title, rows in GROUPS.items():
        lines = [
            line
            for row in rows
            if (line := _line(measured, row, measured.row(row))) is not None
        ]
        if lines:
            parts.append("\n".join([f"### {title}", "", *_head(), *lines]))
    return "\n\n".join(parts) + "\n" if parts else ""


def frontier_markdown(measured: Measured) -> str:
    """Every budget of the rows that have several, on the targets that have them all."""
    lines = [
        line
        for row, budget in _levels(measured)
        if (cells := measured.on_side_targets(row, budget))
        and (line := _line(measured, row, cells, f" at {budget:g}"))
    ]
    return "\n".join([*_head(), *lines]) + "\n" if lines else ""


def target_markdown(measured: Measured) -> str:
    """J and accuracy of each target, apart."""
    head = "| target | J aligned | J target | J ours | J uniform | accuracy | ours |"
    lines = []
    for target in measured.recipe.targets:
        named = {
            row: {target: measured.row(row)[target]}
            for row in ("aligned", "target", "ours", "uniform")
            if target in measured.row(row)
        }
        pool = measured.pool_of(named) if named else None
        if pool is None:
            continue
        js = [
            pool.j(row, LOOKALIKE).text() if row in named else NONE
            for row in ("aligned", "target", "ours", "uniform")
        ]
        right = [
            _percent(pool.accuracy(row).value) if row in named else NONE
            for row in ("target", "ours")
        ]
        lines.append(f"| {' '.join(target)} | {' | '.join([*js, *right])} |")
    if not lines:
        return ""
    return "\n".join([head, "|" + "---|" * 7, *lines]) + "\n"


def _levels(measured: Measured) -> Iterator[tuple[str, float]]:
    found = {(job.row, job.budget) for job in measured.cells if job.budget is not None}
    rows = {row for row, _ in found}
    for row in TITLES:
        budgets = sorted(budget for name, budget in found if name == row)
        if row in rows and len(budgets) > 1:
            yield from ((row, budget) for budget in budgets)


def _head() -> Sequence[str]:
    return (f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS))


def _line(
    measured: Measured, row: str, cells: Mapping[Target, Cell], level: str = ""
) -> str | None:
    pool = measured.pool_of({row: dict(cells)})
    if pool is None:
        return None
    some = [cells[target] for target in pool.targets]
    every = (*pool.harmful, *HARMLESS)
    missing = len(measured.recipe.targets) - len(pool.targets)
    note = f" ({len(pool.targets)} targets)" if missing else ""
    entries = [
        f"{TITLES[row]}{level}{note}",
        _percent(pool.refusal(row, pool.harmful).value),
        *(
            _percent(pool.refusal(row, (name,)).value)
            for name in (LOOKALIKE, XSTEST, ORDINARY)
        ),
        pool.j(row, LOOKALIKE).text(),
        pool.j(row, XSTEST).text(),
        _percent(pool.rate(row, pool.harmful, "c").value),
        _percent(pool.rate(row, pool.harmful, "o").value),
        _percent(pool.rate(row, every, "d").value),
        _auroc(some),
        _percent(pool.accuracy(row).value),
        _kl(some),
        *_costs(some),
    ]
    return f"| {' | '.join(entries)} |"


def _percent(value: float) -> str:
    return NONE if value != value else f"{100 * value:.1f} %"  # noqa: PLR0124


def _auroc(cells: Sequence[Cell]) -> str:
    """How well the margin tells harmful from look-alike prompts, a mean of targets."""
    found = []
    for cell in cells:
        harmful = [
            value
            for name, values in cell.margins.items()
            if name != LOOKALIKE
            for value in values
        ]
        likes = cell.margins.get(LOOKALIKE, [])
        if harmful and likes:
            found.append(auroc(harmful, likes))
    return f"{mean(found):.2f}" if found else NONE


def _kl(cells: Sequence[Cell]) -> str:
    known = [cell.kl["mean"] for cell in cells if cell.kl is not None]
    if not known:
        return NONE
    off = sum(cell.notes.get("matched") is False for cell in cells)
    return f"{mean(known):.4f}" + (f" ({off} not matched)" if off else "")


def _costs(cells: Sequence[Cell]) -> list[str]:
    costs = [cell.cost for cell in cells]
    if not any(cost.seconds for cost in costs):
        return [NONE] * 4
    return [
        f"{mean(cost.forward_equivalents for cost in costs):.0f}",
        f"{mean(cost.seconds for cost in costs):.0f}",
        f"{mean(cost.peak_memory_bytes for cost in costs) / MEGA:.0f}",
        f"{mean(cost.bytes_shipped for cost in costs) / MEGA:.1f}",
    ]
