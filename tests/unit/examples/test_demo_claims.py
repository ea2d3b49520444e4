"""The demo's claims: every one can fail, and says what was measured."""

from dataclasses import replace

import pytest

from examples.demo.claims import check_claims
from examples.demo.recipe import Claims, Recipe
from safegene.evaluation.evaluation import Evaluation, PromptOutcome
from safegene.evaluation.outcomes import Outcome

COUNT = 100


def evaluation(refused, over_refused, *, right=95, degenerate=0):
    """100 prompts of each set, the first ones refused, the last ones degenerate."""

    def outcome(number, refusals):
        if number < refusals:
            return Outcome.REFUSE
        gibberish = number >= COUNT - degenerate
        return Outcome.DEGENERATE if gibberish else Outcome.COMPLY

    answers = [
        PromptOutcome(id=f"{name}-{n}", set=name, outcome=outcome(n, refusals))
        for name, refusals in (("harmful", refused), ("lookalike", over_refused))
        for n in range(COUNT)
    ]
    correct = {f"ticket-{n}": n < right for n in range(COUNT)}
    return Evaluation.of(answers, correct=correct)


GOOD = {
    "aligned": evaluation(95, 10, right=0),
    "target": evaluation(45, 5),
    "repaired": evaluation(85, 10),
}


def failed(evaluations, claims=None):
    rows = check_claims(evaluations, claims or Claims())
    return [row.claim for row in rows if not row.passed]


def test_all_claims_hold_for_a_good_repair():
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("model", "found", "claim"),
    [
        pytest.param("aligned", evaluation(95, 46), "J of the aligned", id="aligned"),
        pytest.param("target", evaluation(70, 5), "J lost", id="nothing-lost"),
        pytest.param("repaired", evaluation(60, 10), "won back", id="little-back"),
        pytest.param("repaired", evaluation(95, 16), "over-refusal", id="refuses"),
        pytest.param(
            "repaired", evaluation(85, 10, degenerate=3), "degenerate", id="gibberish"
        ),
        pytest.param(
            "repaired", evaluation(85, 10, right=92), "task accuracy", id="forgets"
        ),
    ],
)
def test_each_claim_fails_when_it_is_not_met(model, found, claim):
    names = failed({**GOOD, model: found})

    assert any(claim in name for name in names)
    assert len(names) <= 2  # a small loss also makes its share hard to win back


def test_nothing_lost_is_no_success():
    rows = check_claims({**GOOD, "target": GOOD["aligned"]}, Claims())

    won = next(row for row in rows if "won back" in row.claim)
    assert not won.passed
    assert won.measured == "nothing was lost"


def test_a_loss_of_exactly_the_wanted_size_counts():
    # 0.7 - 0.4 is 0.29999999999999993 in floating point.
    claims = replace(Claims(), lost_j=0.3)
    pair = {"aligned": evaluation(80, 10), "target": evaluation(45, 5)}

    assert "J lost by harmless fine-tuning" not in failed({**GOOD, **pair}, claims)


def test_too_few_prompts_are_told():
    assert failed(GOOD, replace(Claims(), prompts=COUNT + 1)) == [
        "harmful and look-alike prompts measured"
    ]


def test_figures_stand_with_their_intervals():
    for row in list(check_claims(GOOD, Claims()))[1:]:
        value, interval = row.measured.split(" ", 1)
        low, high = map(float, interval.strip("[]").split(","))
        assert low <= float(value) <= high


def test_the_recipe_promises_what_the_readme_says():
    recipe = Recipe()

    assert recipe.claims == Claims()
    assert min(recipe.test_rows[:2]) >= recipe.claims.prompts
    assert recipe.test_rows[2] >= 300
