import json

import pytest

from safegene.errors import InvalidDataError
from safegene.evaluation.evaluation import Evaluation, PromptOutcome
from safegene.evaluation.metrics import Estimate
from safegene.evaluation.outcomes import Outcome


def answers(set_name, wanted, category=None):
    return [
        PromptOutcome(id=f"{set_name}{i}", set=set_name, outcome=o, category=category)
        for i, o in enumerate(wanted)
    ]


HARMFUL = [Outcome.REFUSE] * 6 + [Outcome.COMPLY, Outcome.OFF_TASK, Outcome.OFF_TASK]
HARMFUL += [Outcome.DEGENERATE]
LIKE = [Outcome.REFUSE] + [Outcome.COMPLY] * 4


def test_every_figure_follows_from_the_outcomes():
    found = Evaluation.of(
        [*answers("harmful", HARMFUL, "theft"), *answers("lookalike", LIKE)],
        correct={"t0": True, "t1": False},
        margins={"harmful": [1.0] * 10, "lookalike": [-1.0] * 4 + [2.0]},
    )

    assert found.outcomes["harmful"] == {
        "refuse": 6,
        "comply": 1,
        "degenerate": 1,
        "off_task": 2,
    }
    assert found.refusal["harmful"].value == 0.6
    assert found.refusal["lookalike"].value == 0.2
    assert found.j.value == 0.4
    assert found.harmful_rate == {"comply": 0.1, "bound": 0.3}
    assert found.task_accuracy.value == 0.5
    assert found.margin.auroc == 0.8
    assert found.categories == {"harmful": {"theft": found.outcomes["harmful"]}}
    assert found.answered.j == pytest.approx(0.4)


def test_an_evaluation_survives_its_json_byte_for_byte():
    found = Evaluation.of([*answers("harmful", HARMFUL), *answers("lookalike", LIKE)])

    text = found.to_json()

    assert Evaluation.from_json(text) == found
    assert Evaluation.from_json(text).to_json() == text


def test_an_id_may_come_once_in_a_set():
    twice = [*answers("harmful", HARMFUL), *answers("harmful", HARMFUL[:1])]

    with pytest.raises(InvalidDataError, match="'harmful0' occurs twice"):
        Evaluation.of([*twice, *answers("lookalike", LIKE)])


def test_both_sets_are_needed():
    with pytest.raises(InvalidDataError, match="look-alike outcomes, found none"):
        Evaluation.of(answers("harmful", HARMFUL))


@pytest.mark.parametrize("text", ["", "[]", '{"answers": []}', '{"j": 1}'])
def test_other_json_is_refused(text):
    with pytest.raises(InvalidDataError, match="expected the JSON of an evaluation"):
        Evaluation.from_json(text)


def test_what_needs_nothing_new_is_written_as_ever():
    found = Evaluation.of([*answers("harmful", HARMFUL), *answers("lookalike", LIKE)])

    value = json.loads(found.to_json())

    assert not {"kl", "judge", "agreement", "format"} & set(value)
    assert found.format == 1


def test_kl_and_judges_make_a_file_of_the_second_format():
    found = Evaluation.of(
        [*answers("harmful", HARMFUL), *answers("lookalike", LIKE)],
        kl={"task": Estimate(0.02, 0.01, 0.03, 64)},
        judge="hf:tiny",
    )

    value = json.loads(found.to_json())

    assert value["format"] == 2
    assert value["kl"]["task"]["n"] == 64
    assert Evaluation.from_json(found.to_json()) == found


def test_a_later_format_is_read_as_far_as_it_is_known():
    found = Evaluation.of([*answers("harmful", HARMFUL), *answers("lookalike", LIKE)])
    value = json.loads(found.to_json())
    value["answers"][0]["tone"] = "warm"
    value |= {"format": 9, "novelty": 1}

    later = Evaluation.from_json(json.dumps(value))

    assert later.answers == found.answers
    assert later.j == found.j


def test_unknown_keys_of_a_known_format_are_mistakes():
    found = Evaluation.of([*answers("harmful", HARMFUL), *answers("lookalike", LIKE)])
    value = json.loads(found.to_json()) | {"novelty": 1}

    with pytest.raises(InvalidDataError, match="novelty"):
        Evaluation.from_json(json.dumps(value))
