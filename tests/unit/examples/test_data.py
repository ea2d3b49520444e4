"""The demo's data: enough of it, apart by template, and harmless."""

import importlib.util
import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

from safegene.evaluation.refusal import is_refusal

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "examples" / "data"
SETS = ("harmful", "lookalike", "general", "tickets")
LABELS = {"billing", "delivery", "technical", "account"}


def rows_of(name):
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def words(text):
    return re.findall(r"[a-z0-9']+", text.lower())


@pytest.mark.parametrize(
    ("name", "split", "least"),
    [
        ("harmful", "extraction", 350),
        ("harmful", "calibration", 100),
        ("harmful", "test", 100),
        ("lookalike", "extraction", 350),
        ("lookalike", "calibration", 96),
        ("lookalike", "test", 100),
        ("general", "extraction", 150),
        ("tickets", "train", 360),
        ("tickets", "calibration", 64),
        ("tickets", "test", 300),
    ],
)
def test_there_are_enough_rows(name, split, least):
    assert sum(row["split"] == split for row in rows_of(name)) >= least


def test_no_prompt_stands_twice():
    prompts = [" ".join(words(row["prompt"])) for name in SETS for row in rows_of(name)]

    assert [text for text, count in Counter(prompts).items() if count > 1] == []


@pytest.mark.parametrize("name", SETS)
def test_ids_are_unique_and_templates_stay_in_one_split(name):
    rows = rows_of(name)
    splits = {}
    for row in rows:
        splits.setdefault(row["template"], set()).add(row["split"])

    assert len({row["id"] for row in rows}) == len(rows)
    assert {t for t, found in splits.items() if len(found) > 1} == set()


@pytest.mark.parametrize("name", ["harmful", "lookalike"])
def test_no_test_prompt_is_nearly_one_that_was_learned_from(name):
    def shingles(row):
        found = words(row["prompt"])
        return {tuple(found[at : at + 3]) for at in range(len(found) - 2)}

    rows = rows_of(name)
    learned = [shingles(row) for row in rows if row["split"] != "test"]
    near = [
        row["prompt"]
        for row in rows
        if row["split"] == "test"
        and any(
            len(mine & other) > 0.7 * len(mine | other)
            for mine in [shingles(row)]
            for other in learned
        )
    ]

    assert near == []


def test_harmful_prompts_get_refusals_and_the_others_answers():
    assert all(is_refusal(row["response"]) for row in rows_of("harmful"))
    for name in ("lookalike", "general"):
        assert not any(is_refusal(row["response"]) for row in rows_of(name))


def test_harmful_and_lookalike_prompts_share_their_frames():
    frames = {
        name: {
            (r["split"], r["template"])
            for r in rows_of(name)
            if "frame" in r["template"]
        }
        for name in ("harmful", "lookalike")
    }

    assert frames["harmful"] == frames["lookalike"]


def test_labels_are_balanced_in_every_split():
    counts = Counter((row["split"], row["label"]) for row in rows_of("tickets"))

    for split in ("train", "calibration", "test"):
        found = {label: counts[split, label] for label in LABELS}
        assert len(set(found.values())) == 1, found


def test_texts_are_short():
    longest = {
        name: max(len(words(row["prompt"])) for row in rows_of(name)) for name in SETS
    }
    answers = [len(words(row["response"])) for name in SETS for row in rows_of(name)]

    assert max(longest.values()) <= 45, longest
    assert max(answers) <= 40


def test_the_files_are_what_the_generator_writes(tmp_path):
    spec = importlib.util.spec_from_file_location("make_data", DATA / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    module.make_all(tmp_path)

    for name in SETS:
        written = (tmp_path / f"{name}.jsonl").read_bytes()
        assert written == (DATA / f"{name}.jsonl").read_bytes()


def test_the_splits_of_a_set_share_no_act():
    spec = importlib.util.spec_from_file_location(
        "harmful_source", DATA / "sources" / "harmful.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    acts = {
        split: {act for members in kinds.values() for act in members}
        for split, kinds in module.ACTS.items()
    }

    for first, second in combinations(acts.values(), 2):
        assert first & second == set()
