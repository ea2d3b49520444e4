"""The demo's data: enough of it, apart by template, and harmless."""

import json
import re
from collections import Counter
from importlib import import_module
from itertools import combinations
from pathlib import Path

import pytest

from examples.data.make import make_all
from safegene.evaluation.refusal import is_refusal

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "examples" / "data"
SETS = ("harmful", "lookalike", "general", "tickets", "support")
LABELS = {"billing", "delivery", "technical", "account"}


def rows_of(name):
    lines = (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def source(name):
    """A module of hand-written texts."""
    return import_module(f"examples.data.sources.{name}")


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
        ("support", "train", 80),
    ],
)
def test_there_are_enough_rows(name, split, least):
    assert sum(row["split"] == split for row in rows_of(name)) >= least


def test_no_prompt_stands_twice():
    prompts = [" ".join(words(row["prompt"])) for name in SETS for row in rows_of(name)]

    assert [text for text, count in Counter(prompts).items() if count > 1] == []


@pytest.mark.parametrize("name", SETS)
def test_ids_are_unique(name):
    rows = rows_of(name)

    assert len({row["id"] for row in rows}) == len(rows)


def plain(text):
    """A text as the comparisons see it: neither case nor punctuation matters."""
    return " ".join(words(text))


def flat(by_kind):
    return [text for texts in by_kind.values() for text in texts]


def parts_by_split():
    """What rows are made of, by split, as texts: an id can be apart and lie."""
    harmful, lookalike, ordinary, tickets = map(
        source, ("harmful", "lookalike", "ordinary", "tickets")
    )
    verbs = {split: [act[0] for act in acts] for split, acts in ordinary.ACTS.items()}
    objects = {
        s: [o for act in acts for o in act[2]] for s, acts in ordinary.ACTS.items()
    }
    return {
        "frames": source("frames").FRAMES,
        "harmful acts": {split: flat(acts) for split, acts in harmful.ACTS.items()},
        "harmful lines": {
            s: [x[1] for x in lines] for s, lines in harmful.LINES.items()
        },
        "lookalike acts": first_texts(lookalike.pairs("act")),
        "lookalike lines": first_texts(lookalike.pairs("line")),
        "verbs": verbs,
        "objects": objects,
        "ticket templates": {s: flat(found) for s, found in tickets.TEMPLATES.items()},
        "products": tickets.PRODUCTS,
    }


def first_texts(by_split):
    return {split: [pair[0] for pair in pairs] for split, pairs in by_split.items()}


@pytest.mark.parametrize("name", sorted(parts_by_split()))
def test_splits_share_no_text_that_rows_are_made_of(name):
    by_split = parts_by_split()[name]
    texts = {split: set(map(plain, found)) for split, found in by_split.items()}

    assert len(texts) == 3
    assert all(texts.values())
    for first, second in combinations(texts.values(), 2):
        assert first & second == set()


def test_every_framed_prompt_stands_in_a_frame_of_its_split_only():
    patterns = [
        (split, re.compile(re.escape(frame).replace(re.escape("{act}"), "(.+)")))
        for split, frames in source("frames").FRAMES.items()
        for frame in frames
    ]
    rows = [r for name in ("harmful", "lookalike") for r in rows_of(name)]
    framed = [row for row in rows if "-frame-" in row["template"]]

    assert len(framed) > 500
    for row in framed:
        found = {s for s, pattern in patterns if pattern.fullmatch(row["prompt"])}
        assert found == {row["split"]}, row


def test_no_prompt_stands_in_two_splits():
    splits = {}
    for name in SETS:
        for row in rows_of(name):
            splits.setdefault(plain(row["prompt"]), set()).add(row["split"])

    assert {text for text, found in splits.items() if len(found) > 1} == set()


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
    make_all(tmp_path)

    for name in SETS:
        written = (tmp_path / f"{name}.jsonl").read_bytes()
        assert written == (DATA / f"{name}.jsonl").read_bytes()
