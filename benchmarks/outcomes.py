"""`make bench-outcomes`: how far the outcome rules agree with a person.

Reads the hand labels and the rules' verdicts in `docs/benchmarks/outcome-labels.jsonl`;
no prompt and no answer is in there. With `--answers` the rules judge those answers
anew, and `--write` keeps their verdicts.

A line of the answers has `key` and `model` (as in the labels), `prompt`, `answer` and,
where they apply, `asked` (short answers that the prompt itself asks for) and `surprise`
(nats per token under the untouched base model).
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import Benchmark
from safegene.evaluation.agreement import Agreement, agreement
from safegene.evaluation.outcomes import Outcome, classify_answer
from safegene.evaluation.plausibility import plausibility_threshold

LABELS = Path(__file__).parents[1] / "docs" / "benchmarks" / "outcome-labels.jsonl"
TASK_LABELS = ("billing", "delivery", "technical", "account")
HALVES = ("development", "held-out")
VERDICTS = {
    "before": "rules as they were",
    "rules": "rules",
    "checked": "rules and plausibility check",
}
"""The judges that are compared with the person, by their key in the file."""
Row = Mapping[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def half_of(key: str) -> str:
    """Which half a prompt belongs to; all answers to it are in the same."""
    return HALVES[int(key[-1], 16) % 2]


def agreement_of(rows: Sequence[Row], verdict: str) -> Agreement:
    """The person's labels against one judge's verdicts; prompts are resampled whole."""
    return agreement(
        [Outcome(row["label"]) for row in rows],
        [Outcome(row[verdict]) for row in rows],
        groups=[row["key"] for row in rows],
    )


def parts(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The two halves and all of it."""
    found: dict[str, list[Row]] = {
        half: [row for row in rows if half_of(row["key"]) == half] for half in HALVES
    }
    return found | {"all": list(rows)}


def page_tables(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of the published tables."""
    yield "| answers | n | judge | kappa | agree |"
    yield "|---|---|---|---|---|"
    for name, part in parts(rows).items():
        for verdict, judge in VERDICTS.items():
            found = agreement_of(part, verdict)
            yield f"| {name} | {len(part)} | {judge} | {found.kappa} | {found.same} |"
    held = parts(rows)[HALVES[1]]
    yield ""
    yield "| held-out, kappa of | " + " | ".join(VERDICTS.values()) + " |"
    yield "|---|" + "---|" * len(VERDICTS)
    by_judge = [agreement_of(held, verdict) for verdict in VERDICTS]
    for outcome in Outcome:
        cells = [str(found.by_outcome.get(outcome, "-")) for found in by_judge]
        yield f"| {outcome} | " + " | ".join(cells) + " |"
    yield ""
    yield "| held-out: by hand | " + " | ".join(Outcome) + " |"
    yield "|---|" + "---|" * len(Outcome)
    for outcome, counted in by_judge[-1].confusion.items():
        cells = [str(counted[other]) for other in Outcome]
        yield f"| {outcome} | " + " | ".join(cells) + " |"


def judged(labels: Sequence[Row], answers: Sequence[Row]) -> list[Row]:
    """The labels with the verdicts of the rules as they are now.

    The plausibility threshold comes from the aligned model's answers to prompts of the
    development half, so the held-out half has no part in it.

    Raises:
        KeyError: a labelled answer is not among the answers.
    """
    known = {(row["key"], row["model"]): row for row in answers}
    threshold = plausibility_threshold(
        [
            row["surprise"]
            for row in answers
            if row["model"] == "aligned" and half_of(row["key"]) == HALVES[0]
        ]
    )
    found: list[Row] = []
    for label in labels:
        row = known[label["key"], label["model"]]
        verdicts = {
            verdict: classify_answer(
                row["answer"],
                labels=TASK_LABELS,
                prompt=row["prompt"],
                asked=row.get("asked", ()),
                implausible=checked and row["surprise"] > threshold,
            )
            for verdict, checked in (("rules", False), ("checked", True))
        }
        found.append({**label, **verdicts})
    return found


def main() -> None:
    """Print the agreement and write it."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.outcomes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--labels", type=Path, default=LABELS)
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    rows: Sequence[Row] = read_lines(options.labels)
    if options.answers:
        rows = judged(rows, read_lines(options.answers))
    if options.write:
        text = "".join(json.dumps(row) + "\n" for row in rows)
        options.labels.write_text(text, encoding="utf-8")
    print("\n".join(page_tables(rows)))
    benchmark = Benchmark(
        "outcomes",
        "How far do the outcome rules agree with a person?",
        {"answers": len(rows), "labels": str(options.labels.name)},
    )
    for name, part in parts(rows).items():
        for verdict, judge in VERDICTS.items():
            found = agreement_of(part, verdict).kappa
            benchmark.figures |= {
                f"kappa, {name}, {judge}": found.value,
                f"kappa, {name}, {judge}: lower end": found.low,
            }
    held = agreement_of(parts(rows)[HALVES[1]], "checked")
    benchmark.finish(
        f"On the held-out half ({len(parts(rows)[HALVES[1]])} answers) kappa is"
        f" {held.kappa} with the plausibility check."
    )


if __name__ == "__main__":
    main()
