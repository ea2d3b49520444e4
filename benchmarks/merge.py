"""`make bench-merge`: merging a vector into a checkpoint, file to file.

Against copying the files, which any way of writing a merged checkpoint has to do at
least, and against PEFT, which loads the model, merges and saves it.
"""

import argparse
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from benchmarks.harness import Benchmark, peak_memory, print_own_peak
from benchmarks.models import MIDDLE, publishable, random_vector, save_random_checkpoint
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.merge import merge_checkpoint
from safegene.vectors.peft_format import load_vector

DTYPE = torch.bfloat16
RANK = 16
ROUNDS = 7
SHARD_SIZE = "200MB"
TOLERANCE = 2**-7
"""One step of bfloat16, relative: both ways round once, from sums of another order."""


def copy_files(place: Path) -> None:
    """The least that has to be done."""
    shutil.copytree(place / "target", place / "out")


def merge_streamed(place: Path) -> None:
    """SafeGene: shard by shard, only touched tensors rewritten."""
    vector = load_vector(place / "vector")
    merge_checkpoint(Checkpoint.open(place / "target"), vector, place / "out")


def merge_with_peft(place: Path) -> None:
    """PEFT: load, merge in memory, save."""
    model = AutoModelForCausalLM.from_pretrained(place / "target", dtype=DTYPE)
    merged = PeftModel.from_pretrained(model, place / "vector").merge_and_unload()
    merged.save_pretrained(place / "out", max_shard_size=SHARD_SIZE)


CASES = {"copy": copy_files, "safegene": merge_streamed, "peft": merge_with_peft}


def prepare(place: Path) -> int:
    """Write the target and the vector; return the target's bytes."""
    target = save_random_checkpoint(
        place / "target", MIDDLE, DTYPE, shard_size=SHARD_SIZE
    )
    publishable(random_vector(target, rank=RANK), place / "vector")
    return sum(path.stat().st_size for path in target.weight_files)


def check_agreement(place: Path) -> None:
    """Fail unless both ways give the same weights; a wrong result has no speed."""
    ways = {}
    for name in ("safegene", "peft"):
        shutil.rmtree(place / "out", ignore_errors=True)
        CASES[name](place)
        ways[name] = {
            key: tensor
            for file in sorted((place / "out").glob("*.safetensors"))
            for key, tensor in load_file(file).items()
        }
    ours, theirs = ways["safegene"], ways["peft"]
    if ours.keys() != theirs.keys():
        sys.exit(f"other tensors than PEFT's: {sorted(ours.keys() ^ theirs.keys())}")
    for key, tensor in ours.items():
        if not torch.allclose(
            tensor.float(), theirs[key].float(), rtol=TOLERANCE, atol=1e-6
        ):
            sys.exit(f"{key}: the merged weights differ from PEFT's")


def run(place: Path) -> None:
    """Measure and write."""
    size = prepare(place)
    check_agreement(place)
    benchmark = Benchmark(
        "merge",
        "What does it cost to write a merged checkpoint?",
        {**MIDDLE, "dtype": str(DTYPE), "rank": RANK, "checkpoint_bytes": size},
    )
    benchmark.measure(
        {name: partial(case, place) for name, case in CASES.items()},
        rounds=ROUNDS,
        reset=lambda: shutil.rmtree(place / "out", ignore_errors=True),
    )
    by_copy = benchmark.compare("safegene / copy", "safegene", "copy")
    by_peft = benchmark.compare("safegene / peft", "safegene", "peft")
    for name in ("safegene", "peft"):
        shutil.rmtree(place / "out", ignore_errors=True)
        peak = peak_memory("benchmarks.merge", "--case", name, "--place", str(place))
        benchmark.figures[f"{name}: peak memory, share of the checkpoint"] = peak / size
    ours, theirs = benchmark.figures.values()
    benchmark.finish(
        f"Merging takes {by_copy} times a plain file copy and {by_peft} times PEFT's"
        f" load, merge and save; at its peak it holds {ours:.2f} of the checkpoint's"
        f" size in memory, PEFT {theirs:.2f}."
    )


def main() -> None:
    """Run all of it, or one case alone for its memory."""
    parser = argparse.ArgumentParser(prog="benchmarks.merge", description=__doc__)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if options.case:
        with print_own_peak():
            CASES[options.case](options.place)
        return
    with tempfile.TemporaryDirectory(prefix="safegene-bench-") as place:
        run(Path(place))


if __name__ == "__main__":
    main()
