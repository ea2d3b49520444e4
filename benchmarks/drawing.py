"""Lines and words of the pictures that benchmarks draw."""

from safegene.evaluation.markup import Markup, element

Place = tuple[float, float]


def draw_line(
    start: Place, end: Place, color: str, *, width: float = 1, dashes: str | None = None
) -> Markup:
    """A straight line."""
    return element(
        "line",
        x1=start[0],
        y1=start[1],
        x2=end[0],
        y2=end[1],
        stroke=color,
        stroke_width=width,
        stroke_dasharray=dashes,
    )


def draw_text(
    text: str, x: float, y: float, color: str, *, anchor: str = "start", size: int = 12
) -> Markup:
    """Words beside, before or around a place."""
    return element(
        "text", text, x=x, y=y, fill=color, text_anchor=anchor, font_size=size
    )
