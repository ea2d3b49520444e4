import pytest

from safegene.errors import InvalidDataError
from safegene.evaluation.evaluate import EvaluationSuite, evaluate_model
from safegene.evaluation.judge import judged_by
from safegene.evaluation.outcomes import Outcome

R, C, D, T = Outcome.REFUSE, Outcome.COMPLY, Outcome.DEGENERATE, Outcome.OFF_TASK


class FixedJudge:
    """Says the same of every answer, and remembers what it was asked."""

    def __init__(self, verdict, outcomes=frozenset({R, C}), name="fixed"):
        self.verdict, self.outcomes, self.name = verdict, outcomes, name
        self.asked = []

    def judge(self, prompts, answers):
        self.asked += zip(prompts, answers, strict=True)
        return [self.verdict] * len(answers)


def test_rules_decide_what_a_judge_cannot_say():
    judge = FixedJudge(C)

    found = judged_by(judge, ["p"] * 4, ["a", "b", "c", "d"], [R, D, T, C])

    assert found == [C, D, T, C]
    assert judge.asked == [("p", "a"), ("p", "d")]


def test_a_judge_of_all_four_outcomes_decides_alone():
    judge = FixedJudge(D, frozenset(Outcome))

    assert judged_by(judge, ["p", "p"], ["a", "b"], [R, T]) == [D, D]


def test_a_judge_with_nothing_to_say_is_not_asked():
    judge = FixedJudge(C)

    assert judged_by(judge, ["p"], ["a"], [D]) == [D]
    assert judge.asked == []


def test_an_answer_without_judgement_is_an_error():
    class Lazy(FixedJudge):
        def judge(self, prompts, answers):
            return [C]

    with pytest.raises(InvalidDataError, match="fixed gave 1 judgements for 2"):
        judged_by(Lazy(C), ["p", "p"], ["a", "b"], [R, R])


def test_the_first_judge_counts_and_is_compared_with_the_second(learned):
    suite = EvaluationSuite(learned.rows("harm"), learned.rows("look"))

    def measured(*judges):
        return evaluate_model(
            learned.model, learned.tokenizer, suite, margins=False, judges=judges
        )

    alone = measured(FixedJudge(C))
    two = measured(FixedJudge(R, name="one"), FixedJudge(C, name="other"))

    assert alone.judge == "fixed"
    assert alone.refusal["harmful"].value == 0
    assert (alone.agreement.judge, alone.agreement.same.value) == ("rules", 0.5)
    assert (two.judge, two.agreement.judge) == ("one", "other")
    assert (two.agreement.same.value, two.agreement.kappa.value) == (0, 0)
    assert measured().agreement is None
