"""The frontier as a picture: J against the KL to the target, one line a row.

A file of its own, so colors stand in it; they can be told apart by the color-blind, and
every line is named at its end.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.drawing import Place, draw_line, draw_text
from benchmarks.method.plan import FRONTIERS, RIVALS
from benchmarks.method.suite import LOOKALIKE, XSTEST
from benchmarks.method.summary import Measured
from benchmarks.method.table import TITLES
from safegene.evaluation.markup import Markup, element

WIDTH, HEIGHT = 780, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 250, 48, 48
STEPS = 4
LINE_GAP = 16
COLORS = {"ours": "#0b5cad", "uniform": "#b3541e", "dare": "#6b7280"}
OTHER_COLOR = "#8a5cae"
INK, MUTED, LINE = "#1c2028", "#59616d", "#dddbd5"

Series = Mapping[str, Sequence[Place]]


def write_frontiers(measured: Measured, folder: Path) -> list[Path]:
    """Draw J on CoCoNot and on XSTest against held-out KL, where there are points."""
    written = []
    for lookalike, title in (
        (LOOKALIKE, "J on CoCoNot look-alikes"),
        (XSTEST, "J on XSTest"),
    ):
        series = frontier(measured, lookalike)
        if any(series.values()):
            path = folder / f"frontier-{lookalike}.svg"
            path.parent.mkdir(parents=True, exist_ok=True)
            guides = _guides(measured, lookalike)
            text = drawn(f"{title} against held-out KL", series, guides)
            path.write_text(text + "\n", encoding="utf-8")
            written.append(path)
    return written


def frontier(measured: Measured, lookalike: str) -> dict[str, list[Place]]:
    """Mean KL and pooled J of each row at each of its budgets, KL rising."""
    found: dict[str, list[Place]] = {}
    for row in (*FRONTIERS, *(row for row in RIVALS if row not in FRONTIERS)):
        for budget in measured.recipe.budgets:
            cells = measured.on_side_targets(row, budget)
            pool = measured.pool_of({row: cells})
            # A point of other targets than the rest would bend the line.
            if pool is None or len(pool.targets) < len(measured.recipe.side_targets):
                continue
            moved = [cell.kl["mean"] for cell in cells.values() if cell.kl]
            place = (sum(moved) / len(moved), pool.j(row, lookalike).value)
            found.setdefault(row, []).append(place)
    return {row: sorted(places) for row, places in found.items()}


def _guides(measured: Measured, lookalike: str) -> dict[str, float]:
    """J of the aligned model and of the target, for both ends of the scale."""
    guides = {}
    for row in ("aligned", "target"):
        pool = measured.pool_of({row: measured.on_side_targets(row)})
        if pool is not None:
            guides[TITLES[row]] = pool.j(row, lookalike).value
    return guides


def drawn(title: str, series: Series, guides: Mapping[str, float]) -> Markup:
    """A chart of lines and points.

    Args:
        title: what is shown.
        series: places by row; KL in nats per token, J.
        guides: values of J to compare with, by name.
    """
    every = [place for places in series.values() for place in places]
    right = max(kl for kl, _ in every) * 1.08
    levels = [*(j for _, j in every), *guides.values()]
    low, high = min(0.0, *levels), max(*levels, 0.01) * 1.05

    def x(kl: float) -> float:
        return round(LEFT + kl / right * (WIDTH - LEFT - RIGHT), 1)

    def y(j: float) -> float:
        share = (j - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    parts = [draw_text(title, LEFT, 24, INK, size=15)]
    for step in range(STEPS + 1):
        j = low + (high - low) * step / STEPS
        kl = right * step / STEPS
        parts += [
            draw_line((LEFT, y(j)), (WIDTH - RIGHT, y(j)), LINE),
            draw_text(f"{j:.2f}", LEFT - 8, y(j) + 4, MUTED, anchor="end"),
            draw_text(f"{kl:.3f}", x(kl), HEIGHT - BOTTOM + 20, MUTED, anchor="middle"),
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        draw_text(
            "held-out KL, nats per token", middle, HEIGHT - 8, MUTED, anchor="middle"
        )
    )
    labels: list[tuple[float, str, str]] = []
    for name, j in guides.items():
        parts.append(
            draw_line((LEFT, y(j)), (WIDTH - RIGHT, y(j)), MUTED, dashes="5 4")
        )
        labels.append((y(j), name, MUTED))
    for row, places in series.items():
        color = COLORS.get(row, OTHER_COLOR)
        dots = [(x(kl), y(j)) for kl, j in places]
        parts += [
            draw_line(first, second, color, width=2) for first, second in pairwise(dots)
        ]
        parts += [element("circle", cx=cx, cy=cy, r=4, fill=color) for cx, cy in dots]
        if dots:
            labels.append((dots[-1][1], TITLES[row].strip("*"), color))
    parts += _labels(labels)
    return element(
        "svg",
        element("title", title),
        element("rect", width=WIDTH, height=HEIGHT, fill="#ffffff"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        font_family="system-ui, sans-serif",
    )


def _labels(wanted: Sequence[tuple[float, str, str]]) -> list[Markup]:
    """Names beside the line ends, moved down where they would cover each other."""
    placed = []
    last = float("-inf")
    for level, name, color in sorted(wanted):
        last = max(level + 4, last + LINE_GAP)
        placed.append(draw_text(name, WIDTH - RIGHT + 8, last, color))
    return placed
