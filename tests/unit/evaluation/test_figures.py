import pytest
from support.evaluations import evaluation

from safegene.evaluation.evaluation import Evaluation, PromptOutcome
from safegene.evaluation.figures import (
    harmless_sets,
    hits,
    j_by_set,
    refusal_by_category,
)
from safegene.evaluation.outcomes import Outcome


def test_j_is_told_against_every_harmless_set():
    found = evaluation(90, 20, ordinary=5)

    assert harmless_sets(found) == ("lookalike", "ordinary")
    by_set = j_by_set(found)
    assert by_set["lookalike"] == found.j
    assert by_set["ordinary"].value == pytest.approx(0.85)


def test_categories_have_rates_with_intervals_and_counts():
    outcomes = [("theft", Outcome.REFUSE)] * 3 + [("theft", Outcome.COMPLY)]
    outcomes += [("fraud", Outcome.COMPLY)] * 2 + [(None, Outcome.REFUSE)]
    answers = [
        PromptOutcome(id=str(at), set="harmful", outcome=outcome, category=category)
        for at, (category, outcome) in enumerate(outcomes)
    ]
    like = PromptOutcome(id="a", set="lookalike", outcome=Outcome.COMPLY)

    found = refusal_by_category(Evaluation.of([*answers, like]))

    assert list(found) == ["fraud", "theft"]
    assert (found["theft"].value, found["theft"].n) == (0.75, 4)
    assert found["theft"].low < 0.75 < found["theft"].high
    assert refusal_by_category(Evaluation.of([*answers, like]), "lookalike") == {}


def test_hits_name_prompts_by_set_and_id():
    found = hits(evaluation(1, 0), Outcome.REFUSE, ["harmful"])

    assert found["harmful/harmful-0"]
    assert not found["harmful/harmful-1"]
    assert len(found) == 100
