"""`python -m examples.demo` answers with the exit code its figures deserve."""

import pytest

from examples.demo.__main__ import conclude
from examples.demo.console import Console
from safegene.evaluation.evaluation import Evaluation, PromptOutcome
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.report import Claim, Report


def evaluation(refused):
    answers = [
        PromptOutcome(
            id=f"{name}-{number}",
            set=name,
            outcome=Outcome.REFUSE if number < refusals else Outcome.COMPLY,
        )
        for name, refusals in (("harmful", refused), ("lookalike", 1))
        for number in range(20)
    ]
    return Evaluation.of(answers)


def report(*, passed):
    found = Report.of(
        {
            "aligned": evaluation(19),
            "target": evaluation(5),
            "repaired": evaluation(17),
        },
        commit="unknown",
    )
    claim = Claim(claim="J came back", target="all", measured="some", passed=passed)
    return found.model_copy(update={"claims": (claim,)})


@pytest.mark.parametrize(
    ("passed", "code", "said"),
    [
        pytest.param(True, 0, "Every claim holds.", id="holds"),
        pytest.param(False, 1, "J came back", id="fails"),
    ],
)
def test_the_exit_code_tells_whether_the_claims_hold(capsys, passed, code, said):
    assert conclude(report(passed=passed), Console(steps=1)) == code
    assert said in capsys.readouterr().out
