import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from support.evaluations import evaluation

from safegene.evaluation.charts import Bar, interval_dots, layer_columns, plain_bars
from safegene.evaluation.evaluation import Evaluation, JudgeAgreement
from safegene.evaluation.markup import Markup, element, join
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.report import (
    Claim,
    CompatibilityRow,
    Recalibration,
    Report,
)
from safegene.evaluation.report_html import render_html, write_html

NASTY = '<script>alert("1 & 2")</script>'
VOID = {"meta", "link"}


@pytest.fixture(scope="module")
def report():
    return Report.of(
        {
            "aligned": evaluation(95, 15, ordinary=3, correct=25),
            "target": evaluation(25, 5, ordinary=0, off_task=30, correct=90),
            "repaired": evaluation(80, 12, ordinary=2, degenerate=2, correct=89),
        },
        title=f"Title {NASTY}",
        commit="0123abcd",
        recalibration=Recalibration(
            seconds=12.5,
            forward_equivalents=4000,
            kl=0.018,
            predicted_kl=0.021,
            budget=0.02,
            coefficients={layer: layer / 10 - 0.2 for layer in range(12)},
            uniform_coefficient=0.75,
            objective_before=1.5,
            objective_after=0.5,
            objective_uniform=0.75,
            warnings=(f"careful {NASTY}",),
        ),
        compatibility=[
            CompatibilityRow(
                model=NASTY, level="incompatible", fits=False, reasons=(NASTY,)
            )
        ],
        seconds={"extract": 3.25, NASTY: 0.0},
        claims=[Claim(claim=NASTY, target="0.5", measured="0.8", passed=True)],
        facts={"vector": "demo/refusal@1.0.0"},
    )


class Outline(HTMLParser):
    """Checks nesting and collects what tests ask for."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def outline(page):
    parser = Outline()
    parser.feed(page)
    parser.close()
    assert parser.open == []
    return parser


def test_the_page_is_well_formed_and_whole(report):
    found = outline(render_html(report))

    assert found.tags.count("h1") == 1
    assert found.tags.count("svg") == 3 + 2 + 1 + 2 + 1 + 1
    for told in ("The one claim holds.", "0123abcd", "0.0180", "1.500 before"):
        assert told in found.text


def test_the_page_loads_nothing_from_anywhere(report):
    page = render_html(report)
    found = outline(page)

    assert "default-src 'none'" in page
    assert "script" not in found.tags
    assert "url(" not in page
    assert "@import" not in page
    links = [
        value
        for _, name, value in found.attributes
        if name in {"href", "src", "srcset", "action", "data"}
    ]
    assert [link.split(",")[0] for link in links] == ["data:image/svg+xml"]
    assert not [name for _, name, _ in found.attributes if name.startswith("on")]


def test_names_from_outside_never_become_markup(report):
    page = render_html(report)

    assert "<script" not in page
    assert outline(page).text.count(NASTY) >= 5


def test_every_chart_says_in_words_what_it_shows(report):
    page = render_html(report)
    ids = re.findall(r' id="([^"]+)"', page)

    assert len(ids) == len(set(ids))
    for svg in re.findall(r"<svg[^>]*>", page):
        if 'role="img"' in svg:
            named = re.search(r'aria-labelledby="([^"]+)"', svg)[1].split()
            assert set(named) <= set(ids)
        else:
            assert 'aria-hidden="true"' in svg
    described = re.findall(r"<desc[^>]*>([^<]*)</desc>", page)
    assert len(described) == page.count('role="img"')
    assert all(described)


def test_the_same_report_gives_the_same_page(report, tmp_path):
    write_html(report, tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text("utf-8") == render_html(report)


def test_a_failing_report_says_so_at_the_top(report):
    claim = Claim(claim="Task", target="2 points", measured="9 points", passed=False)
    failing = report.model_copy(update={"claims": (*report.claims, claim)})

    header = render_html(failing).split("</header>")[0]

    assert "1 of 2 claims does not hold." in header
    assert "Task: 9 points, expected 2 points" in header
    assert "verdict bad" in header


def test_a_single_model_makes_a_page_without_a_story():
    page = render_html(Report.of({"mine": evaluation(50, 10)}, commit="0.1.0"))

    found = outline(page)
    assert found.tags.count("svg") == 3
    assert "verdict" not in [
        value for _, name, value in found.attributes if name == "class"
    ]
    assert "Won back" not in found.text


@pytest.fixture
def compared():
    """Two models, with everything a comparison can show; the second judge differs."""

    def judged(found, kl):
        answers = [
            each.model_copy(update={"category": "malware" if at % 4 else "fraud"})
            if each.set == "harmful"
            else each
            for at, each in enumerate(found.answers)
        ]
        kappa, same = Estimate(0.5, 0.25, 0.75, 300), Estimate(0.8, 0.7, 0.9, 300)
        return Evaluation.of(
            answers,
            correct=found.correct,
            kl={"task": Estimate(kl, kl, kl, 64)},
            judge=f"hf:{NASTY}",
            agreement=JudgeAgreement(judge="rules", kappa=kappa, same=same),
        )

    return Report.of(
        {
            "target": judged(evaluation(25, 5, ordinary=0, correct=90), 0.0),
            "repaired": judged(evaluation(80, 12, ordinary=2, correct=89), 0.0123),
        },
        commit="0.1.0",
        baseline="target",
    )


def test_a_comparison_shows_differences_divergence_categories_and_judges(compared):
    page = render_html(compared)
    text = outline(page).text

    assert "<script" not in page
    assert "Against target" in text
    differences = text.partition("Against target")[2].partition("Harm by harm")[0]
    assert "repairedJ lookalike+48.0[" in differences
    assert "repairedtask accuracy−1.0[" in differences  # noqa: RUF001
    assert "p = 1" in differences
    assert "Evaluation KL task" in text
    assert "0.0123[0.0123, 0.0123]" in text
    categories = text.partition("Harm by harm")[2].partition("Who judged")[0]
    assert "Categoryntargetrepaired" in categories
    assert "fraud25" in categories
    assert "malware75" in categories
    judges = text.partition("Who judged")[2]
    assert f"repairedhf:{NASTY}rules0.50[0.25, 0.75]80 %[70, 90]" in judges
    assert "without a judge" not in text
    assert "J against ordinary" in text


def test_nothing_of_a_comparison_is_shown_for_one_model():
    text = outline(render_html(Report.of({"m": evaluation(9, 1)}, commit="0"))).text

    for heading in ("Against", "KL", "Harm by harm", "Who judged", "J against"):
        assert heading not in text
    assert "without a judge" in text


def drawn(chart):
    return ET.fromstring(chart)


def test_values_beyond_the_scale_stay_inside_the_chart():
    rows = [(Bar("a", "wide"), Estimate(0.5, -3.0, 3.0, 10))]

    chart = drawn(
        interval_dots("t", "s", rows, ticks=[(0.0, "0"), (1.0, "1")], guides={})
    )

    whisker = next(each for each in chart if "whisker" in each.get("class", ""))
    assert (whisker.get("x1"), whisker.get("x2")) == ("0.000%", "100.000%")


def test_bars_start_at_zero_and_the_longest_fills_the_chart():
    chart = drawn(plain_bars("t", "s", [(Bar("a", ""), 2.0), (Bar("b", ""), 1.0)]))

    widths = [each.get("width") for each in chart if each.get("class") == "bar"]
    assert widths == ["100.000%", "50.000%"]


def test_bars_of_nothing_are_drawn_without_length():
    chart = drawn(plain_bars("t", "s", [(Bar("a", ""), 0.0)]))

    assert [e.get("width") for e in chart if e.get("class") == "bar"] == ["0.000%"]


def test_columns_below_zero_hang_from_the_zero_line():
    chart = drawn(layer_columns("t", "s", {0: 1.0, 1: -1.0}, guide=None))

    up, down = (e for e in chart.iter("rect") if "bar" in e.get("class"))
    assert float(up.get("y")) + float(up.get("height")) == float(down.get("y"))


def test_intervals_of_columns_are_lines_that_fit_the_chart():
    ends = {0: (0.5, 2.0)}

    chart = drawn(layer_columns("t", "s", {0: 1.0, 1: 0.2}, guide=None, intervals=ends))

    (line,) = (e for e in chart.iter("line") if e.get("class") == "whisker")
    first, _ = (e for e in chart.iter("rect") if "bar" in e.get("class"))
    low, high, top = (
        float(line.get("y1")),
        float(line.get("y2")),
        float(first.get("y")),
    )
    assert high < top < low
    assert high == 8


def test_text_is_escaped_unless_it_is_markup():
    inner = element("b", "1 < 2", class_="x", data_label='"q"', title=None)

    assert inner == '<b class="x" data-label="&quot;q&quot;">1 &lt; 2</b>'
    assert join(inner, "&", Markup("<i/>")) == f"{inner}&amp;<i/>"
