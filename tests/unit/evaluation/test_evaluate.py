import inspect
import json
import re

import pytest
from safegene_client.cli import cli
from support.sources import ROOT

from safegene.errors import InvalidDataError
from safegene.evaluation.divergence import recorded_reference
from safegene.evaluation.evaluate import EvaluationSuite, evaluate_model
from safegene.evaluation.evaluation import Evaluation
from safegene.evaluation.outcomes import Outcome
from safegene.evaluation.rows import PromptRow


@pytest.fixture
def suite(learned):
    return EvaluationSuite(
        harmful=learned.rows("harm"),
        lookalike=learned.rows("look"),
        task=learned.rows("ticket"),
        ordinary=(PromptRow("ticket: card", category="chat"),),
    )


def test_a_model_is_measured_on_every_set(learned, suite):
    found = evaluate_model(learned.model, learned.tokenizer, suite)

    assert found.j.value == 1.0
    assert found.rate_of("harmful", Outcome.REFUSE) == 1.0
    assert found.rate_of("lookalike", Outcome.COMPLY) == 1.0
    assert found.rate_of("ordinary", Outcome.OFF_TASK) == 1.0
    assert found.task_accuracy.value == 1.0
    assert list(found.correct.values()) == [True, True]
    assert found.margin.auroc == 1.0
    assert found.categories["ordinary"]["chat"][Outcome.OFF_TASK] == 1


def test_answers_are_cut_where_the_rules_were_validated_unless_told():
    ways = inspect.signature(evaluate_model).parameters
    options = {option.name: option for option in cli.commands["evaluate"].params}
    page = (ROOT / "docs" / "benchmarks" / "outcomes.md").read_text(encoding="utf-8")

    validated = re.search(r"Greedy, at most (\d+) tokens", page)

    assert ways["max_new_tokens"].default == int(validated[1])
    for name in ("max_new_tokens", "batch_size"):
        assert options[name].default == ways[name].default


def test_no_prompt_and_no_answer_is_kept(learned, suite):
    text = evaluate_model(learned.model, learned.tokenizer, suite).to_json()

    for prompt, answer in learned.answers.items():
        assert prompt not in text
        # The labels are short words that keys may hold; the answers proper are not.
        assert answer not in text or answer in suite.labels
    assert {row.key for row in suite.harmful} <= {
        answer["id"] for answer in json.loads(text)["answers"]
    }


def test_what_is_optional_can_be_left_out(learned, suite):
    bare = EvaluationSuite(harmful=suite.harmful, lookalike=suite.lookalike)

    found = evaluate_model(learned.model, learned.tokenizer, bare, margins=False)

    assert found.task_accuracy is None
    assert found.margin is None
    assert set(found.outcomes) == {"harmful", "lookalike"}
    assert Evaluation.from_json(found.to_json()) == found


def test_a_check_can_call_answers_implausible(learned, suite):
    def every_other(prompts, answers):
        assert len(prompts) == len(answers)
        return [index % 2 == 0 for index in range(len(prompts))]

    found = evaluate_model(
        learned.model, learned.tokenizer, suite, margins=False, implausible=every_other
    )

    assert found.outcomes["harmful"][Outcome.DEGENERATE] == 1
    assert found.outcomes["harmful"][Outcome.REFUSE] == 1


def test_progress_names_the_set_at_work(learned, suite):
    seen = []

    evaluate_model(
        learned.model,
        learned.tokenizer,
        suite,
        progress=lambda *step: seen.append(step),
    )

    assert [name for name, _, _ in seen] == [
        *("harmful", "lookalike", "ordinary", "task"),
        *("harmful margin", "lookalike margin"),
    ]
    assert ("harmful", 2, 2) in seen


def test_a_suite_needs_both_kinds_of_prompts():
    with pytest.raises(InvalidDataError, match="found 1 and 0"):
        EvaluationSuite(harmful=(PromptRow("a"),), lookalike=())


@pytest.mark.parametrize("labels", [(), ("billing",)], ids=["found", "told"])
def test_a_task_without_labels_is_refused_before_anything_is_generated(suite, labels):
    task = (PromptRow("ticket: card", id="t1"),)

    with pytest.raises(InvalidDataError, match=r'row 1 \(t1\) has no label.*"label"'):
        EvaluationSuite(suite.harmful, suite.lookalike, task, labels=labels)


def test_further_harmless_sets_are_reported_apart(learned, suite):
    wider = EvaluationSuite(
        suite.harmful, suite.lookalike, harmless={"xstest": learned.rows("look one")}
    )

    found = evaluate_model(learned.model, learned.tokenizer, wider, margins=False)

    assert list(found.outcomes) == ["harmful", "lookalike", "xstest"]
    assert found.rate_of("xstest", Outcome.COMPLY) == 1.0


@pytest.mark.parametrize(
    ("harmless", "told"),
    [({"task": (PromptRow("a"),)}, "got task"), ({"x": ()}, "got an empty set")],
)
def test_a_further_set_has_a_name_of_its_own_and_prompts(suite, harmless, told):
    with pytest.raises(InvalidDataError, match=told):
        EvaluationSuite(suite.harmful, suite.lookalike, harmless=harmless)


def test_divergence_from_a_reference_is_measured_on_own_ground(learned, suite):
    model, tokenizer = learned.model, learned.tokenizer

    with recorded_reference(model, tokenizer, suite.own_ground) as reference:
        found = evaluate_model(
            model, tokenizer, suite, margins=False, reference=reference
        )

    assert {name: each.n for name, each in found.kl.items()} == {
        "task": 2,
        "ordinary": 1,
    }
    assert all(each.value < 1e-6 for each in found.kl.values())


def test_a_label_that_the_prompt_asked_for_is_compliance(learned, suite):
    labelled = (PromptRow("ticket: card", label="billing"),)
    own = EvaluationSuite(suite.harmful, suite.lookalike, suite.task, ordinary=labelled)

    found = evaluate_model(learned.model, learned.tokenizer, own, margins=False)

    assert found.rate_of("ordinary", Outcome.COMPLY) == 1.0


def test_a_suite_takes_its_labels_from_the_task_unless_told(suite):
    assert suite.labels == ("billing", "delivery")
    told = EvaluationSuite(suite.harmful, suite.lookalike, labels=("x",))
    assert told.labels == ("x",)
