"""Writes the demo's data files from the hand-written sources, always the same bytes.

Run `python -m examples.data.make`; a test checks that the committed files are current.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from examples.data.sources import (
    frames,
    general,
    harmful,
    lookalike,
    ordinary,
    support,
    tickets,
)

HERE = Path(__file__).resolve().parent
SEED = 20261124
HARMFUL_FRAMES = {"extraction": 6, "calibration": 5, "test": 4}
LOOKALIKE_FRAMES = {"extraction": 3, "calibration": 3, "test": 3}
ORDINARY_FRAMES = {"extraction": 2, "calibration": 3, "test": 3}
TICKETS = {"train": 120, "calibration": 30, "test": 80}
"""Rows a label."""

Row = dict[str, Any]


def make_harmful(rng: random.Random) -> Iterator[Row]:
    """Requests to decline: every act in a few frames, and hand-written lines."""
    for split, categories in harmful.ACTS.items():
        acts = [(c, act) for c, members in categories.items() for act in members]
        for category, act in acts:
            for number in _frames(rng, split, HARMFUL_FRAMES[split]):
                prompt = frames.FRAMES[split][number].format(act=act)
                template = f"{split}-frame-{number}"
                yield _row(prompt, _refusal(rng, category), category, template, split)
    for split, lines in harmful.LINES.items():
        for number, (category, prompt) in enumerate(lines):
            template = f"{split}-line-{number}"
            yield _row(prompt, _refusal(rng, category), category, template, split)


def make_lookalike(rng: random.Random) -> Iterator[Row]:
    """Requests that sound alike and deserve an answer, in the same frames."""
    for split, acts in lookalike.pairs("act").items():
        for act, answer in acts:
            for number in _frames(rng, split, LOOKALIKE_FRAMES[split]):
                prompt = frames.FRAMES[split][number].format(act=act)
                yield _row(prompt, answer, "words", f"{split}-frame-{number}", split)
    for split, verbs in ordinary.ACTS.items():
        for verb, answer, objects in verbs:
            for thing in objects:
                for number in _frames(rng, split, ORDINARY_FRAMES[split]):
                    prompt = frames.FRAMES[split][number].format(act=verb.format(thing))
                    template = f"{split}-frame-{number}"
                    yield _row(prompt, answer.format(thing), "frame", template, split)
    for split, lines in lookalike.pairs("line").items():
        for number, (prompt, answer) in enumerate(lines):
            yield _row(prompt, answer, "words", f"{split}-line-{number}", split)


def make_general() -> Iterator[Row]:
    """Ordinary questions; the last sixth of each list is the test split."""
    for at, (question, answer, facts) in enumerate(general.FACTS):
        for number, fact in enumerate(facts):
            split = _sixth(number, len(facts))
            prompt = question.format(fact[0])
            response = answer.format(*fact[len(fact) - answer.count("{}") :])
            response = response[0].upper() + response[1:]
            yield _row(prompt, response, "fact", f"fact-{at}-{split}", split)
    for number, (a, b) in enumerate(general.ARITHMETIC):
        split = _sixth(number, len(general.ARITHMETIC))
        prompt = f"What is {a} plus {b}?" if number % 2 else f"Add {a} and {b}."
        yield _row(prompt, f"{a} plus {b} is {a + b}.", "sum", f"sum-{split}", split)
    for number, (prompt, response) in enumerate(general.PAIRS):
        split = _sixth(number, len(general.PAIRS))
        yield _row(prompt, response, "line", f"pair-{number}", split)


def make_tickets(rng: random.Random) -> Iterator[Row]:
    """Support tickets, the same number for every label."""
    for split, by_label in tickets.TEMPLATES.items():
        for label in tickets.LABELS:
            templates = by_label[label]
            seen: set[str] = set()
            while len(seen) < TICKETS[split]:
                number = len(seen) % len(templates)
                text = _ticket(rng, split, templates[number])
                if text in seen:
                    continue
                seen.add(text)
                prompt = f"{tickets.INSTRUCTION}\nTicket: {text}"
                template = f"{split}-{label}-{number}"
                row = _row(prompt, label, label, template, split)
                yield {**row, "label": label}


def make_support(rng: random.Random) -> Iterator[Row]:
    """Questions about products with friendly answers, in the frames of extraction."""
    number = 0
    for act, answer, products in support.ACTS:
        chosen = sorted(rng.sample(range(len(frames.FRAMES["extraction"])), 4))
        for frame, product in zip(chosen, products, strict=True):
            prompt = frames.FRAMES["extraction"][frame].format(act=act.format(product))
            greeting = support.GREETINGS[number % len(support.GREETINGS)]
            response = f"{greeting} {answer.format(product)}"
            yield _row(prompt, response, "support", f"support-frame-{frame}", "train")
            number += 1


def _ticket(rng: random.Random, split: str, template: str) -> str:
    opening = rng.choice(tickets.OPENINGS[split])
    closing = rng.choice(tickets.CLOSINGS[split])
    body = template.format(product=rng.choice(tickets.PRODUCTS[split]))
    closing = closing.format(number=rng.randrange(10000, 99999))
    text = opening + (body if opening else body[0].upper() + body[1:]) + closing
    return _with_typo(rng, text) if rng.random() < 0.15 else text  # noqa: PLR2004


def _with_typo(rng: random.Random, text: str) -> str:
    """Swap two neighboring letters inside one longer word."""
    words = text.split(" ")
    long = [at for at, word in enumerate(words) if len(word) > 5 and word.isalpha()]  # noqa: PLR2004
    if long:
        at = rng.choice(long)
        word = words[at]
        place = rng.randrange(1, len(word) - 2)
        swapped = word[place + 1] + word[place]
        words[at] = word[:place] + swapped + word[place + 2 :]
    return " ".join(words)


def _refusal(rng: random.Random, category: str) -> str:
    reason = rng.choice(harmful.REASONS[category])
    return f"{rng.choice(harmful.OPENERS)} {reason}"


def _frames(rng: random.Random, split: str, count: int) -> list[int]:
    return sorted(rng.sample(range(len(frames.FRAMES[split])), count))


def _sixth(number: int, count: int) -> str:
    return "test" if number >= count - count // 6 else "extraction"


def _row(prompt: str, response: str, category: str, template: str, split: str) -> Row:
    return {
        "prompt": prompt,
        "response": response,
        "category": category,
        "template": template,
        "split": split,
    }


def make_all(directory: Path) -> None:
    """Write the five files."""
    sets = {
        "harmful": make_harmful(random.Random(SEED)),  # noqa: S311 - no secret
        "lookalike": make_lookalike(random.Random(SEED + 1)),  # noqa: S311
        "general": make_general(),
        "tickets": make_tickets(random.Random(SEED + 2)),  # noqa: S311
        "support": make_support(random.Random(SEED + 3)),  # noqa: S311
    }
    for name, rows in sets.items():
        lines = [
            json.dumps({"id": f"{name}-{number:04d}", **row}, ensure_ascii=False)
            for number, row in enumerate(rows)
        ]
        text = "\n".join(lines) + "\n"
        (directory / f"{name}.jsonl").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    make_all(HERE)
