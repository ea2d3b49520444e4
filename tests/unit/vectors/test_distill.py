"""Distillation: what is learnt, what is recorded, what is refused."""

import dataclasses
import gc
import weakref

import pytest
import torch
from support.distillation import QUICK, distill_data, distill_pair
from support.models import (
    changed,
    linear_paths,
    save_checkpoint,
    tiny_model,
    tiny_tokenizer,
)

from safegene.errors import (
    CompatibilityError,
    InvalidDataError,
    NonFiniteTensorError,
    RankError,
    UsageError,
)
from safegene.evaluation.rows import PromptRow
from safegene.vectors.attach import attach
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.distill import (
    DistillData,
    distill_safety_vector,
    load_checkpoint,
)
from safegene.vectors.distill.lesson import Lesson
from safegene.vectors.distill.rows import answer_rows
from safegene.vectors.distill.settings import LEAST_HELD_BACK
from safegene.vectors.peft_format import load_vector, save_vector

RANK = 4


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return distill_pair(tmp_path_factory.mktemp("pair"))


def distilled(pair, data=None, *, seed=0, rank=RANK, load=load_checkpoint, **settings):
    return distill_safety_vector(
        *pair,
        data or distill_data(),
        settings=dataclasses.replace(QUICK, **settings),
        rank=rank,
        seed=seed,
        load=load,
    )


@pytest.fixture(scope="module")
def vector(pair):
    return distilled(pair)


def figure(vector, name):
    return float(vector.recipe.parameters[f"kl_{name}"])


def mean_kl(pair, vector, kind):
    """Whole-vocabulary KL to the model that leads on these prompts, measured anew."""
    leader_checkpoint = pair[0] if kind == "harmful" else pair[1]
    leader, tokenizer = load_checkpoint(leader_checkpoint.directory)
    rows = answer_rows(
        leader,
        tokenizer,
        getattr(distill_data(), kind),
        QUICK,
        generator=torch.Generator(),
        kind=kind,
    )
    follower, _ = load_checkpoint(pair[1].directory)
    total, count = 0.0, 0
    with attach(follower, vector), torch.no_grad():
        for row in rows:
            ids = torch.tensor([row.ids])
            log_p, log_q = (
                torch.log_softmax(model(input_ids=ids).logits[0].double(), dim=-1)
                for model in (leader, follower)
            )
            kl = (log_p.exp() * (log_p - log_q)).sum(dim=-1)[row.start - 1 : -1]
            total, count = total + float(kl.sum()), count + len(kl)
    return total / count


def test_the_degraded_model_learns_what_the_aligned_one_says(vector):
    held_back = "harmful_held_back"

    assert figure(vector, "harmful_after") < 0.5 * figure(vector, "harmful_before")
    assert figure(vector, f"{held_back}_after") < 0.6 * figure(
        vector, f"{held_back}_before"
    )


def test_the_vector_does_what_its_figures_say(pair, vector):
    for kind in ("harmful", "benign"):
        trained_on = len(getattr(distill_data(), kind)) - LEAST_HELD_BACK
        recorded = trained_on * figure(vector, f"{kind}_after")
        recorded += LEAST_HELD_BACK * figure(vector, f"{kind}_held_back_after")
        recorded /= trained_on + LEAST_HELD_BACK

        assert mean_kl(pair, vector, kind) == pytest.approx(recorded, rel=0.02)


def test_benign_weight_keeps_the_degraded_model_as_it_is(pair, vector):
    careless = distilled(pair, benign_weight=0.0)

    for name in ("benign_after", "benign_held_back_after"):
        assert figure(vector, name) < 0.6 * figure(careless, name)


def test_the_same_seed_gives_the_same_bytes(pair, vector):
    again, other = distilled(pair), distilled(pair, seed=1)

    assert again.recipe == vector.recipe
    for path, factors in vector.factors.items():
        assert torch.equal(factors.a_RI, again.factors[path].a_RI)
        assert torch.equal(factors.b_OR, again.factors[path].b_OR)
        assert not torch.equal(factors.b_OR, other.factors[path].b_OR)


def test_the_recipe_says_how_it_was_made(pair, vector):
    aligned, degraded = pair
    recipe = vector.recipe

    assert vector.base_model == aligned.ref
    assert recipe.degraded_model == degraded.ref
    assert (recipe.method, recipe.rank, recipe.seed) == ("distill", RANK, 0)
    assert [(entry.name, entry.rows) for entry in recipe.data] == [
        ("harmful", 24),
        ("benign", 16),
    ]
    assert recipe.parameters["steps"] == "18"
    assert recipe.parameters["dtype"] == "float32"
    assert recipe.parameters["learning_rate"] == "0.005"


def test_it_is_an_ordinary_vector(tmp_path, vector):
    save_vector(
        vector,
        tmp_path / "v",
        namespace="acme",
        name="guard",
        version="1.0.0",
        license="Apache-2.0",
    )

    found = load_vector(tmp_path / "v")

    assert found.recipe == vector.recipe
    for path, factors in vector.factors.items():
        assert torch.allclose(found.factors[path].delta(), factors.delta(), atol=1e-6)


def test_one_copy_of_weights_is_in_memory_at_a_time(pair):
    seen = []

    def load(directory):
        gc.collect()
        seen.append([model() is None for model in models])
        model, tokenizer = load_checkpoint(directory)
        models.append(weakref.ref(model))
        return model, tokenizer

    models = []

    distilled(pair, load=load, steps=2)

    assert seen == [[], [True]]


@pytest.mark.parametrize("family", ["gpt_neox", "qwen3"])
def test_other_families_are_distilled(tmp_path, family):
    pair = distill_pair(tmp_path, family)

    vector = distilled(pair)

    assert tuple(vector.factors) == linear_paths(tiny_model(family))
    assert figure(vector, "harmful_after") < 0.7 * figure(vector, "harmful_before")


def test_modules_and_layers_can_be_chosen(pair):
    vector = distill_safety_vector(
        *pair,
        distill_data(),
        settings=QUICK,
        rank=RANK,
        leaf_names=["o_proj", "down_proj"],
        layers=[1],
    )

    assert vector.layers == (1,)
    assert tuple(vector.factors) == (
        "model.layers.1.self_attn.o_proj",
        "model.layers.1.mlp.down_proj",
    )


def test_sampled_answers_come_from_the_seed(pair):
    greedy, sampled, again, other = (
        distilled(pair, answers=answers, seed=seed, steps=2).recipe.parameters
        for answers, seed in (
            ("greedy", 0),
            ("sampled", 0),
            ("sampled", 0),
            ("sampled", 1),
        )
    )

    assert sampled == again
    assert sampled["kl_harmful_before"] != other["kl_harmful_before"]
    assert sampled["kl_harmful_before"] != greedy["kl_harmful_before"]


def test_given_responses_are_what_is_learnt_from(pair):
    data = distill_data()
    safe = tuple(PromptRow(row.prompt, "I can't") for row in data.harmful)

    own = distilled(pair, steps=2).recipe
    given = distilled(pair, DistillData(safe, data.benign), steps=2).recipe

    assert own.data[0].digest != given.data[0].digest
    assert own.parameters["kl_harmful_before"] != given.parameters["kl_harmful_before"]


@pytest.mark.parametrize("kind", ["harmful", "benign"])
def test_too_few_prompts_are_refused(pair, kind):
    rows = getattr(distill_data(), kind)
    data = dataclasses.replace(distill_data(), **{kind: rows[:15] + rows[:1]})

    with pytest.raises(InvalidDataError, match=f"16 different {kind} prompts, got 15"):
        distilled(pair, data)


def test_without_a_chat_template_responses_are_needed(pair):
    def load(directory):
        model, _ = load_checkpoint(directory)
        return model, tiny_tokenizer(chat=False)

    with pytest.raises(InvalidDataError, match=r"harmful row 1 .* no chat template"):
        distilled(pair, load=load)


def test_equal_models_have_nothing_to_distill(pair):
    with pytest.raises(UsageError, match="nothing to distill"):
        distilled((pair[0], pair[0]))


def test_a_training_that_changes_nothing_is_refused(pair):
    with pytest.raises(UsageError, match=r"nothing was learnt in 18 steps"):
        distilled(pair, learning_rate=1e-30)


def test_a_training_that_breaks_down_is_refused(pair):
    with pytest.raises(NonFiniteTensorError, match=r"not finite in step \d+ of 18"):
        distilled(pair, learning_rate=1e30)


def test_broken_weights_are_refused(tmp_path, pair):
    broken = tiny_model()
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    save_checkpoint(broken, tmp_path, tokenizer=tiny_tokenizer())

    with pytest.raises(NonFiniteTensorError, match="logits hold NaN"):
        distilled((Checkpoint.open(tmp_path), pair[1]))


def test_a_rank_beyond_what_is_served_is_refused(pair):
    with pytest.raises(RankError, match="513"):
        distilled(pair, rank=513)


def test_a_pair_of_two_vocabularies_is_refused(tmp_path, pair):
    wider = changed(tiny_model(vocab_size=300), scale=0.1)
    save_checkpoint(wider, tmp_path, tokenizer=tiny_tokenizer())

    with pytest.raises(CompatibilityError, match=r"264 .* 300"):
        distilled((pair[0], Checkpoint.open(tmp_path)))


def test_a_pair_of_two_chat_formats_is_refused(pair):
    def load(directory):
        model, tokenizer = load_checkpoint(directory)
        if directory == pair[1].directory:
            tokenizer.chat_template = "{{ messages[0]['content'] }}"
        return model, tokenizer

    with pytest.raises(CompatibilityError, match="encodes prompts otherwise"):
        distilled(pair, load=load)


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path):
    save_checkpoint(tiny_model(), tmp_path)

    with pytest.raises(InvalidDataError, match="cannot be loaded with its tokenizer"):
        load_checkpoint(tmp_path)


def test_fewer_kept_entries_bound_the_kl_from_below(pair):
    aligned, tokenizer = load_checkpoint(pair[0].directory)
    degraded, _ = load_checkpoint(pair[1].directory)
    rows = answer_rows(
        aligned,
        tokenizer,
        distill_data().harmful[:5],
        QUICK,
        generator=torch.Generator(),
        kind="harmful",
    )

    found = [
        Lesson(aligned, rows, top_k=top_k, batch_size=2, name="aligned").mean_kl(
            degraded, range(5), 3
        )
        for top_k in (4, 32, 263, 264, None)
    ]

    assert found == sorted(found)
    assert found[0] < 0.9 * found[-1]
    assert found[2] == pytest.approx(found[-1], rel=1e-3)
    assert found[3] == found[4]
