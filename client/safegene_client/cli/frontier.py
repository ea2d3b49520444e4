"""`safegene frontier`: calibrations of several budgets side by side."""

from pathlib import Path

import click

from safegene.errors import UsageError
from safegene.evaluation.frontier import (
    HEADINGS,
    FrontierPoint,
    by_kl,
    render_frontier,
)
from safegene.files import require_writable
from safegene_client.cli.comparing import read_evaluation
from safegene_client.cli.options import (
    HTML,
    example,
    read_calibration,
    with_output,
    write_whole,
)
from safegene_client.cli.output import Output, table


@click.command(
    epilog=example(
        "safegene frontier c005.json+e005.json c020.json+e020.json c040.json \\",
        "  --html frontier.html",
    )
)
@click.argument(
    "calibrations",
    nargs=-1,
    required=True,
    metavar="[NAME=]CALIBRATION[+EVALUATION]...",
)
@HTML
@with_output
def frontier(
    output: Output, *, calibrations: tuple[str, ...], html: Path | None
) -> None:
    """Show what a larger KL budget buys: calibrations of one target side by side.

    Recalibrate with several budgets, measure each result with evaluate --evaluations
    and give the evaluation file after a plus sign: J is shown where there is one.
    """
    if html is not None:
        require_writable(html)
    points = by_kl([_point(text) for text in calibrations])
    _check(points)
    if html is not None:
        write_whole(html, render_frontier(points).encode())
    output.result(
        {"points": [point.as_json() for point in points]},
        table(*HEADINGS, rows=[point.cells() for point in points]),
    )


def _point(text: str) -> FrontierPoint:
    name, equals, rest = text.partition("=")
    path, _, measured = (rest if equals else text).partition("+")
    return FrontierPoint(
        name if equals else Path(path).name.removesuffix(".json"),
        read_calibration(Path(path)),
        read_evaluation(Path(measured)) if measured else None,
    )


def _check(points: list[FrontierPoint]) -> None:
    if len({point.name for point in points}) < len(points):
        message = (
            "each calibration needs a name of its own: got"
            f" {', '.join(point.name for point in points)}; write NAME=CALIBRATION"
        )
        raise UsageError(message)
    first = points[0]
    for point in points[1:]:
        ours, theirs = point.calibration, first.calibration
        if (ours.digest, ours.target_fingerprint) != (
            theirs.digest,
            theirs.target_fingerprint,
        ):
            message = (
                f"{point.name} is of another vector or model family than {first.name}:"
                f" {ours.vector} for {ours.target_fingerprint}, and {theirs.vector} for"
                f" {theirs.target_fingerprint}; compare calibrations of one vector"
            )
            raise UsageError(message)
