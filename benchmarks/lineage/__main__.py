"""`make bench-lineage`: does the lineage sketch tell descendants from strangers?

Small models of three families are trained, tuned, merged, averaged, quantised and
permuted; SmolLM2-135M-Instruct and the models `bench-method` made of it are the real
ones. Each pair's correlation is compared with the threshold. `--small SEEDS` leaves the
real ones out, `--tell` measures nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import OUT, ROOT, Benchmark, Spread
from benchmarks.lineage import reading
from benchmarks.lineage.pairs import EPOCH, REAL, Pair, real_pairs, small_pairs
from benchmarks.lineage.rates import error_rate, gap, judged, table
from benchmarks.lineage.small import BATCH, CONTEXT
from benchmarks.method.data import Data, data_directory, load_data
from benchmarks.method.recipe import FULL
from benchmarks.method.runner import Talk, open_runner
from safegene.artifact.lineage import LINEAGE_THRESHOLD
from safegene.evaluation.rows import PromptRow

SEEDS = 8
PUBLISHED = ROOT / "docs" / "benchmarks" / "lineage-pairs.jsonl"
WRITTEN = OUT / "lineage-pairs.jsonl"
DIGITS = 4


def texts_of(data: Data) -> Mapping[str, bytes]:
    """What the small models are trained on: nothing of it is a test prompt."""
    return {
        "general": _text(data.splits["drift/general"]),
        "task": _text(data.splits["task/sst2"])[: EPOCH * BATCH * CONTEXT],
        "news": _text(data.splits["task/ag_news"]),
    }


def _text(rows: Iterable[PromptRow]) -> bytes:
    return "\n\n".join(f"{row.prompt}\n{row.response}" for row in rows).encode()


def measure(seeds: int, *, real: bool, talk: Talk) -> Iterator[Pair]:
    """Every pair; with the real ones, models of `bench-method` are made if missing."""
    texts = texts_of(load_data(data_directory()))
    yield from small_pairs(texts, seeds, talk.tell)
    if real:
        yield from real_pairs(open_runner(FULL, talk).workshop, talk.tell)


def write(pairs: Iterable[Pair], path: Path) -> None:
    """Keep pairs as JSON Lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for pair in pairs:
            facts = asdict(pair)
            facts["correlation"] = round(pair.correlation, DIGITS)
            stream.write(json.dumps(facts) + "\n")


def read(path: Path) -> list[Pair]:
    """Pairs that were kept."""
    return [Pair(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def page(pairs: Sequence[Pair]) -> Iterator[str]:
    """The tables of docs/benchmarks/lineage.md."""
    descendants = [pair for pair in pairs if pair.descendant]
    strangers = [pair for pair in pairs if not pair.descendant]
    by_origin = judged(descendants, LINEAGE_THRESHOLD, lambda pair: pair.origin)
    by_storage = judged(descendants, LINEAGE_THRESHOLD, lambda pair: pair.storage)
    yield from table(by_origin, "refused, though a descendant")
    yield ""
    yield from table(by_storage, "refused, though a descendant")
    yield ""
    yield from table(
        judged(
            strangers,
            LINEAGE_THRESHOLD,
            lambda pair: f"{_size(pair)}: {pair.origin}",
        ),
        "accepted, though a stranger",
    )
    yield ""
    for name, part in (
        ("chosen on", [pair for pair in pairs if not pair.held_out]),
        ("held out", [pair for pair in pairs if pair.held_out]),
    ):
        if part:
            low, high = gap(part)
            wrong = error_rate(part, LINEAGE_THRESHOLD)
            yield (
                f"{name}: {len(part)} pairs, wrong {wrong};"
                f" strangers up to {low:.3f}, descendants from {high:.3f}"
            )


def _size(pair: Pair) -> str:
    return REAL if pair.family == REAL else "small"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep what came out."""
    parser = argparse.ArgumentParser(prog="benchmarks.lineage", description=__doc__)
    parser.add_argument("--small", type=int, metavar="SEEDS", help="no real models")
    parser.add_argument("--tell", action="store_true", help="measure nothing")
    parser.add_argument("--publish", action="store_true", help=f"to {PUBLISHED.name}")
    options = parser.parse_args(arguments)
    if not options.tell:
        seeds = SEEDS if options.small is None else options.small
        found = measure(seeds, real=options.small is None, talk=Talk())
        write(found, WRITTEN)
    pairs = read(WRITTEN if WRITTEN.is_file() else PUBLISHED)
    if options.publish:
        write(pairs, PUBLISHED)
    benchmark = Benchmark(
        "lineage",
        "Does the lineage sketch tell descendants from strangers?",
        {"threshold": LINEAGE_THRESHOLD, "seeds": SEEDS},
    )
    with tempfile.TemporaryDirectory() as directory:
        cost = reading.measure(Path(directory))
    benchmark.seconds["read a sketch of 2.2 GB"] = Spread.of(cost.seconds)
    benchmark.figures |= {
        "checkpoint_bytes": cost.checkpoint_bytes,
        "read_bytes": cost.read_bytes,
        "pairs": len(pairs),
    }
    benchmark.finish("\n".join(page(pairs)))


if __name__ == "__main__":
    main()
