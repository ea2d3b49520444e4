"""Charts as inline SVG that keep their type size on a phone and on a desk.

Widths are percentages, heights pixels, and there is no view box: bars stretch, letters
do not. Colors come from the page's style sheet, so a chart follows light and dark.
Every chart has a title and a description for those who cannot see it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from safegene.evaluation.markup import Markup, element, join
from safegene.evaluation.metrics import Estimate

ROW = 50
BAR_TOP = 22
BAR = 18
AXIS = 26
NARROWEST_LABELLED = 9.0
"""Percent of the width below which a segment is too narrow for its number."""
PLOT_HEIGHT = 170
HEADROOM = 1.1
LAYER_LABELS = 8


@dataclass(frozen=True)
class Segment:
    """One part of a stacked bar."""

    name: str
    css: str
    """Class that colors it."""
    share: float


@dataclass(frozen=True)
class Bar:
    """One row of a chart: what it is, what to read at its end, whether to stress it."""

    name: str
    reading: str
    stressed: bool = False


def stacked_bars(
    title: str, summary: str, rows: Sequence[tuple[Bar, Sequence[Segment]]]
) -> Markup:
    """Shares of a whole, one bar per row."""
    drawn = []
    for place, (bar, segments) in enumerate(rows):
        top = place * ROW
        drawn.append(_row_text(bar, top))
        left = 0.0
        for segment in segments:
            width = 100 * segment.share
            if width > 0:
                drawn.append(_segment(segment, left, width, top + BAR_TOP))
            left += width
    return _chart(title, summary, len(rows) * ROW - 8, drawn)


def interval_dots(
    title: str,
    summary: str,
    rows: Sequence[tuple[Bar, Estimate]],
    *,
    ticks: Sequence[tuple[float, str]],
    guides: Mapping[str, float],
) -> Markup:
    """Values with their intervals on one scale.

    Args:
        title: what is shown.
        summary: the same in words.
        rows: one estimate per row.
        ticks: places on the scale and their labels; the outer two are its ends.
        guides: values to compare with, drawn as dashed lines, by name.
    """
    low, high = ticks[0][0], ticks[-1][0]

    def place(value: float) -> str:
        return _percent(100 * (min(max(value, low), high) - low) / (high - low))

    drawn = []
    for number, (bar, found) in enumerate(rows):
        top = number * ROW
        middle = top + BAR_TOP + BAR / 2
        stress = " stressed" if bar.stressed else ""
        drawn += [_upright(place(at), top, "grid") for at, _ in ticks]
        drawn += [
            _upright(place(at), top, "guide", name) for name, at in guides.items()
        ]
        drawn += [
            _row_text(bar, top),
            element(
                "line",
                x1=place(found.low),
                x2=place(found.high),
                y1=middle,
                y2=middle,
                class_=f"whisker{stress}",
            ),
            element(
                "circle",
                element("title", f"{bar.name}: {bar.reading}"),
                cx=place(found.value),
                cy=middle,
                r=6,
                class_=f"dot{stress}",
            ),
        ]
    bottom = len(rows) * ROW
    drawn += [
        _label(label, place(at), bottom + 18, _anchor(at, low, high))
        for at, label in ticks
    ]
    return _chart(title, summary, bottom + AXIS, drawn)


def plain_bars(
    title: str,
    summary: str,
    rows: Sequence[tuple[Bar, float]],
    *,
    marks: Mapping[str, float] | None = None,
) -> Markup:
    """Lengths from zero, with marks across all rows where something is to be met."""
    marks = marks or {}
    # A mark needs some room behind it, to be seen as passed or not.
    ends = [value for _, value in rows] + [HEADROOM * at for at in marks.values()]
    scale = 100 / max(ends) if max(ends) > 0 else 0.0
    drawn = []
    for place, (bar, value) in enumerate(rows):
        top = place * ROW + BAR_TOP
        css = "bar stressed" if bar.stressed else "bar"
        told = f"{bar.name}: {bar.reading}"
        drawn += [
            _rect(0, 100, top, BAR, "track"),
            _rect(0, max(0.0, value) * scale, top, BAR, css, told=told),
        ]
        drawn += [
            _upright(_percent(at * scale), place * ROW, "mark", name)
            for name, at in marks.items()
        ]
        drawn.append(_row_text(bar, place * ROW))
    return _chart(title, summary, len(rows) * ROW - 4, drawn)


@dataclass(frozen=True)
class Dot:
    """One point of a scatter."""

    name: str
    x: float
    y: float
    stressed: bool = False


def scatter(
    title: str, summary: str, dots: Sequence[Dot], *, guide: float | None
) -> Markup:
    """Points by two figures, from 0 to the right, with a line across to stay left of.

    Args:
        title: what is shown.
        summary: the same in words.
        dots: the points, those to stress last or anywhere.
        guide: a place on the scale across, drawn as a dashed line.
    """
    right = max([dot.x for dot in dots] + [guide or 0.0]) * HEADROOM or 1.0
    high, low = (
        max([0.0, *(dot.y for dot in dots)]),
        min([0.0, *(dot.y for dot in dots)]),
    )
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(8 + (high - value) / span * PLOT_HEIGHT, 1)

    levels = sorted({0.0, high, low})
    drawn = [_horizontal(y(at), "grid") for at in levels]
    if guide is not None:
        place = _percent(100 * guide / right)
        told = element("title", f"{guide:g}")
        ends = {"y1": y(high), "y2": y(low)}
        drawn.append(element("line", told, x1=place, x2=place, class_="guide", **ends))
        drawn.append(_label(f"{guide:g}", place, y(low) + 20, "middle"))
    drawn.append(_label("0", "0%", y(low) + 20, "start"))
    drawn += [
        element(
            "circle",
            element("title", f"{dot.name}: {dot.x:.4f}, {dot.y:.2f}"),
            cx=_percent(100 * dot.x / right),
            cy=y(dot.y),
            r=6 if dot.stressed else 4,
            class_="dot stressed" if dot.stressed else "dot",
        )
        for dot in dots
    ]
    scale = [
        element("text", f"{at:.2f}", x="100%", y=y(at) + 4, class_="tick end")
        for at in levels
    ]
    height = PLOT_HEIGHT + 36
    axis = element("svg", *scale, width=38, height=height, aria_hidden="true")
    plot = _chart(title, summary, height, drawn)
    return element("div", axis, plot, class_="with-axis")


def layer_columns(
    title: str,
    summary: str,
    values: Mapping[int, float],
    *,
    guide: float | None,
    intervals: Mapping[int, tuple[float, float]] | None = None,
) -> Markup:
    """One column per layer, from zero up or down, with a dashed line to compare.

    Layers with an interval have a line from its lowest to its highest value.
    """
    ends = intervals or {}
    shown = [*values.values(), *([guide] if guide is not None else [])]
    shown += [end for pair in ends.values() for end in pair]
    high, low = max(0.0, *shown), min(0.0, *shown)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return round(8 + (high - value) / span * PLOT_HEIGHT, 1)

    slot = 100 / len(values)
    every = -(-len(values) // LAYER_LABELS)
    drawn = [_horizontal(y(at), "grid") for at in sorted({0.0, high, low})]
    for place, (layer, value) in enumerate(values.items()):
        drawn.append(
            _rect(
                (place + 0.15) * slot,
                0.7 * slot,
                min(y(value), y(0)),
                max(1.0, abs(y(value) - y(0))),
                "bar stressed",
                told=f"layer {layer}: {value:.2f}",
            )
        )
        middle = _percent((place + 0.5) * slot)
        if layer in ends:
            low_end, high_end = ends[layer]
            heights = {"y1": y(low_end), "y2": y(high_end)}
            told = element("title", f"layer {layer}: {low_end:.2f} to {high_end:.2f}")
            drawn.append(
                element("line", told, x1=middle, x2=middle, class_="whisker", **heights)
            )
        if place % every == 0:
            drawn.append(_label(str(layer), middle, y(low) + 20, "middle"))
    if guide is not None:
        drawn.append(_horizontal(y(guide), "guide"))
    scale = [
        element("text", f"{at:.2f}", x="100%", y=y(at) + 4, class_="tick end")
        for at in sorted({0.0, high, low})
    ]
    height = PLOT_HEIGHT + 36
    axis = element("svg", *scale, width=38, height=height, aria_hidden="true")
    plot = _chart(title, summary, height, drawn)
    return element("div", axis, plot, class_="with-axis")


def _chart(title: str, summary: str, height: float, drawn: Sequence[str]) -> Markup:
    # Ids must differ within a page, so titles do; they stay the same between runs.
    name = re.sub(r"\W+", "-", title.casefold()).strip("-")
    return element(
        "svg",
        element("title", title, id=f"{name}-title"),
        element("desc", summary, id=f"{name}-desc"),
        *drawn,
        width="100%",
        height=height,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def _row_text(bar: Bar, top: float) -> Markup:
    stress = " stressed" if bar.stressed else ""
    return join(
        element("text", bar.name, x=0, y=top + 14, class_=f"name{stress}"),
        element("text", bar.reading, x="100%", y=top + 14, class_=f"reading{stress}"),
    )


def _segment(segment: Segment, left: float, width: float, top: float) -> Markup:
    told = f"{segment.name}: {segment.share:.0%}"
    drawn = _rect(left, width, top, BAR, f"segment {segment.css}", told=told)
    if width < NARROWEST_LABELLED:
        return drawn
    middle = _percent(left + width / 2)
    number = element(
        "text",
        f"{width:.0f}",
        x=middle,
        y=top + BAR - 5,
        class_=f"inside on-{segment.css}",
    )
    return join(drawn, number)


def _rect(
    left: float, width: float, top: float, height: float, css: str, *, told: str = ""
) -> Markup:
    return element(
        "rect",
        *([element("title", told)] if told else []),
        x=_percent(left),
        width=_percent(width),
        y=top,
        height=height,
        class_=css,
    )


def _upright(place: str, top: float, css: str, told: str = "") -> Markup:
    """A line across the bar of one row, clear of the words above it."""
    title = [element("title", told)] if told else []
    above, below = top + BAR_TOP - 3, top + BAR_TOP + BAR + 3
    return element("line", *title, x1=place, x2=place, y1=above, y2=below, class_=css)


def _horizontal(y: float, css: str) -> Markup:
    return element("line", x1=0, x2="100%", y1=y, y2=y, class_=css)


def _label(text: str, place: str, y: float, anchor: str) -> Markup:
    return element("text", text, x=place, y=y, class_=f"tick {anchor}")


def _anchor(at: float, low: float, high: float) -> str:
    if at == low:
        return "start"
    return "end" if at == high else "middle"


def _percent(value: float) -> str:
    return f"{value:.3f}%"
