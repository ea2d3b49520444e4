"""Cost against size as a picture: p50 of each question, both scales logarithmic."""

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from benchmarks.drawing import draw_line, draw_text
from safegene.evaluation.markup import Markup, element

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 170, 48, 48
COLORS = ("#0b5cad", "#b3541e", "#8a5cae", "#2f7d4f", "#6b7280", "#a3274d")
INK, MUTED, LINE = "#1c2028", "#59616d", "#dddbd5"
TICKS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)

Series = Mapping[str, Mapping[int, float]]


def write_plot(series: Series, path: Path) -> None:
    """Draw milliseconds by number of versions, a line for each question."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{drawn(series)}\n", encoding="utf-8")


def drawn(series: Series) -> Markup:
    """The chart."""
    sizes = sorted({size for values in series.values() for size in values})
    costs = [cost for values in series.values() for cost in values.values()]
    low, high = math.log10(min(costs) / 1.5), math.log10(max(costs) * 1.5)
    first, last = math.log10(sizes[0]), math.log10(sizes[-1])

    def x(size: int) -> float:
        share = (math.log10(size) - first) / ((last - first) or 1)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(cost: float) -> float:
        share = (math.log10(cost) - low) / (high - low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    parts = [draw_text("server-side p50, ms", LEFT, 24, INK)]
    for tick in TICKS:
        if low <= math.log10(tick) <= high:
            parts += [
                draw_line((LEFT, y(tick)), (WIDTH - RIGHT, y(tick)), LINE),
                draw_text(f"{tick:g}", LEFT - 8, y(tick) + 4, MUTED, anchor="end"),
            ]
    for size in sizes:
        label = f"{size:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
        parts.append(draw_text(label, x(size), HEIGHT - 26, MUTED, anchor="middle"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(draw_text("versions", middle, HEIGHT - 8, MUTED, anchor="middle"))
    lowest = float("-inf")
    ends = sorted(series.items(), key=lambda each: y(each[1][max(each[1])]))
    for number, (name, values) in enumerate(ends):
        color = COLORS[number % len(COLORS)]
        dots = [(x(size), y(cost)) for size, cost in sorted(values.items())]
        parts += [draw_line(a, b, color, width=2) for a, b in pairwise(dots)]
        parts += [element("circle", cx=cx, cy=cy, r=4, fill=color) for cx, cy in dots]
        lowest = max(dots[-1][1] + 4, lowest + 16)
        parts.append(draw_text(name, WIDTH - RIGHT + 10, lowest, color))
    return element(
        "svg",
        element("title", "What a question costs by the number of versions"),
        element("rect", width=WIDTH, height=HEIGHT, fill="#ffffff"),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        role="img",
        font_family="system-ui, sans-serif",
    )
