"""`make bench-extract`: compressing full-rank weight differences to low rank.

Against the full SVD of the same matrices, for time and for the error; against the LoRA
extraction of mergekit on the same pair, in an environment of its own; and the memory of
streaming two checkpoints of 8 GB each. Needs 20 GB of disk for a while.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlamaConfig

from benchmarks.harness import (
    OUT,
    Benchmark,
    Spread,
    peak_memory,
    print_own_peak,
    tell,
)
from safegene.artifact.architecture import Architecture, architecture_from_config
from safegene.artifact.vectorfile import factor_key
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.extract import extract_safety_vector
from safegene.vectors.randomized import Size, truncated_svd

RANKS = (8, 32)
SMALL, LARGE = (1024, 2816), (4096, 14336)
ROUNDS = 3
SIGNAL = 512
"""Directions of falling strength in a difference, above noise in all directions."""
CHANGE = 0.02
"""Size of the difference, relative to the weight."""
MERGEKIT = "0.1.5"
TORCH = "2.13.0"
PAIR_ROUNDS = 2
PAIR_SIZES = {
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 3,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "vocab_size": 256,
}
BIG_SIZES = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 19,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 256,
}
"""The linear modules of 19 layers in bfloat16 are 8.3 GB."""
NEEDED_BYTES = 20 << 30
COMMAND = "from safegene_client.cli import main; raise SystemExit(main())"


@dataclass(frozen=True)
class Problem:
    """A difference matrix and how well it can be compressed."""

    name: str
    delta: Tensor
    energies: Tensor
    """Squared singular values, falling, in float64."""

    def least_error(self, rank: int) -> float:
        """The least that any matrix of the rank leaves over, as a norm."""
        return float(self.energies[rank:].sum().sqrt())


def difference(shape: tuple[int, int], *, signal: bool) -> Tensor:
    """A full-rank matrix: noise, and if asked directions of falling strength."""
    generator = torch.Generator().manual_seed(shape[0])
    noise = torch.randn(shape, generator=generator)
    if not signal:
        return noise
    left = torch.randn(shape[0], SIGNAL, generator=generator)
    right = torch.randn(SIGNAL, shape[1], generator=generator)
    strength = torch.arange(1, SIGNAL + 1).float() ** -0.5
    return noise.addmm_(left * strength, right, beta=0.3)


def energies_of(delta: Tensor) -> Tensor:
    """Squared singular values, falling, by the Gram matrix in float64."""
    gram = torch.zeros(delta.shape[0], delta.shape[0], dtype=torch.float64)
    for columns in torch.split(delta, 2048, dim=1):
        wide = columns.double()
        gram.addmm_(wide, wide.T)
    energies: Tensor = torch.linalg.eigvalsh(gram).flip(0).clamp_min(0)
    return energies


def compare_decompositions(benchmark: Benchmark) -> None:
    """Time and error against the full SVD, one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    slowest: list[Spread] = []
    worst = 0.0
    for shape, rounds in ((SMALL, ROUNDS), (LARGE, 1)):
        label = "x".join(map(str, shape))
        problems = [
            Problem(kind, delta, energies_of(delta))
            for kind, delta in (
                ("falling", difference(shape, signal=True)),
                ("flat", difference(shape, signal=False)),
            )
        ]
        delta = problems[0].delta
        cases: Mapping[str, Callable[[], object]] = {
            f"full SVD {label}": partial(torch.linalg.svd, delta, full_matrices=False)
        } | {
            f"safegene {label} rank {rank}": partial(truncated_svd, delta, Size(rank))
            for rank in RANKS
        }
        benchmark.measure(cases, rounds=rounds, warm_up=rounds > 1)
        for rank in RANKS:
            slowest.append(
                benchmark.compare(
                    f"full SVD / safegene {label} rank {rank}",
                    f"full SVD {label}",
                    f"safegene {label} rank {rank}",
                )
            )
            for problem in problems:
                lost = truncated_svd(problem.delta, Size(rank)).lost ** 0.5
                error = lost / problem.least_error(rank)
                name = f"error / least: {label} {problem.name} rank {rank}"
                benchmark.figures[name] = error
                worst = max(worst, error)
    torch.set_num_threads(threads)
    benchmark.ratios["speed_vs_full_svd"] = min(slowest, key=lambda spread: spread.low)
    benchmark.ratios["error_vs_optimum"] = Spread.of([worst])


def configuration(sizes: dict[str, int]) -> dict[str, object]:
    """The `config.json` of a Llama of these sizes."""
    config = LlamaConfig(**sizes, architectures=["LlamaForCausalLM"])
    return {**config.to_dict(), "dtype": "float32"}


def layer_weights(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Random weights of layer 0, by name within the layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        module.path.partition(".0.")[2]: torch.randn(
            module.out_features, module.in_features, generator=generator
        ).mul_(module.in_features**-0.5)
        for module in architecture.modules
        if ".layers.0." in module.path
    }


def other_weights(sizes: dict[str, int]) -> dict[str, Tensor]:
    """What a Llama has beside its linear modules."""
    table = torch.zeros(sizes["vocab_size"], sizes["hidden_size"])
    norm = torch.ones(sizes["hidden_size"])
    names = ["model.norm"] + [
        f"model.layers.{layer}.{name}_layernorm"
        for layer in range(sizes["num_hidden_layers"])
        for name in ("input", "post_attention")
    ]
    both = {f"{name}.weight": norm.clone() for name in names}
    return both | {"model.embed_tokens.weight": table, "lm_head.weight": table.clone()}


def save_pair(place: Path, sizes: dict[str, int], dtype: torch.dtype) -> Architecture:
    """Write two states of a model, one shard a layer, never more than one in memory.

    Every layer holds the same weights: values change neither time nor memory.
    """
    config = configuration(sizes)
    architecture = architecture_from_config(config)
    weights = layer_weights(architecture, seed=0)
    for state in ("degraded", "aligned"):
        if state == "aligned":
            for name, weight in weights.items():
                shape = (weight.shape[0], weight.shape[1])
                change = difference(shape, signal=True)
                change *= CHANGE * weight.norm() / change.norm()
                weights[name] = weight + change
        directory = place / state
        directory.mkdir(parents=True)
        (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
        write_shards(directory, sizes, {n: w.to(dtype) for n, w in weights.items()})
    return architecture


def write_shards(
    directory: Path, sizes: dict[str, int], weights: dict[str, Tensor]
) -> None:
    """One shard a layer, one for the rest, and their index."""
    places: dict[str, str] = {}

    def write(tensors: dict[str, Tensor]) -> None:
        name = f"model-{len(set(places.values())):05}.safetensors"
        save_file(tensors, directory / name, metadata={"format": "pt"})
        places.update(dict.fromkeys(tensors, name))

    for layer in range(sizes["num_hidden_layers"]):
        write(
            {
                f"model.layers.{layer}.{name}.weight": weight
                for name, weight in weights.items()
            }
        )
    kind = next(iter(weights.values())).dtype
    write({name: part.to(kind) for name, part in other_weights(sizes).items()})
    index = {"metadata": {}, "weight_map": places}
    (directory / "model.safetensors.index.json").write_text(
        json.dumps(index), encoding="utf-8"
    )


def extract(place: Path, *, rank: int, workers: int | None) -> None:
    """SafeGene's extraction of the pair in `place`."""
    extract_safety_vector(
        Checkpoint.open(place / "aligned"),
        Checkpoint.open(place / "degraded"),
        rank=rank,
        workers=workers,
    )


def mergekit_program(given: Path | None) -> Path:
    """The peer's command, in an environment of its own if none is given."""
    if given is not None:
        return given
    home = OUT / "mergekit"
    program = home / "bin" / "mergekit-extract-lora"
    if not program.is_file():
        tell(f"installing mergekit {MERGEKIT} into {home}")
        venv.create(home, with_pip=True, clear=True)
        for package in (f"torch=={TORCH}", f"mergekit=={MERGEKIT}"):
            pip = [str(home / "bin" / "pip"), "--disable-pip-version-check"]
            subprocess.run([*pip, "install", "--quiet", package], check=True)
    return program


def run_safegene(place: Path, rank: int) -> None:
    """The whole command, imports and writing included."""
    shutil.rmtree(place / "vector", ignore_errors=True)
    command = [
        *(sys.executable, "-c", COMMAND, "extract"),
        *("--aligned", str(place / "aligned"), "--degraded", str(place / "degraded")),
        *("--name", "bench/pair", "--version", "1", "--out", str(place / "vector")),
        *("--rank", str(rank)),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def run_mergekit(program: Path, place: Path, rank: int) -> None:
    """The whole command on the same pair, linear modules of layers only."""
    shutil.rmtree(place / "lora", ignore_errors=True)
    command = [
        str(program),
        *("--model", str(place / "aligned"), "--base-model", str(place / "degraded")),
        *("--out-path", str(place / "lora"), "--max-rank", str(rank)),
        *("--exclude-regex", "embed_tokens|lm_head", "--skip-undecomposable"),
    ]
    subprocess.run(command, check=True, capture_output=True)


def errors_of(architecture: Architecture, place: Path) -> Iterator[tuple[float, float]]:
    """Squared error of SafeGene's and of mergekit's factors, module by module."""
    models = [Checkpoint.open(place / name) for name in ("aligned", "degraded")]
    files = [
        load_file(place / name / "adapter_model.safetensors")
        for name in ("vector", "lora")
    ]
    for module in architecture.modules:
        strong, weak = (model.read(f"{module.path}.weight") for model in models)
        rests = [
            strong.float()
            - weak.float()
            - file[factor_key(module.path, "B")].float()
            @ file[factor_key(module.path, "A")].float()
            for file in files
        ]
        yield float(rests[0].square().sum()), float(rests[1].square().sum())


def compare_with_mergekit(benchmark: Benchmark, place: Path, program: Path) -> None:
    """Both commands on one pair: time, and what their factors leave over."""
    architecture = save_pair(place, PAIR_SIZES, torch.float32)
    rank = RANKS[-1]
    benchmark.measure(
        {
            "safegene, whole command": lambda: run_safegene(place, rank),
            "mergekit, whole command": lambda: run_mergekit(program, place, rank),
        },
        rounds=PAIR_ROUNDS,
        warm_up=False,
    )
    benchmark.compare(
        "speed_vs_mergekit", "mergekit, whole command", "safegene, whole command"
    )
    ours, theirs = zip(*errors_of(architecture, place), strict=True)
    benchmark.figures["error / mergekit's"] = (sum(ours) / sum(theirs)) ** 0.5
    shutil.rmtree(place)


def measure_memory(benchmark: Benchmark, place: Path) -> None:
    """Peak memory of streaming two checkpoints of 8 GB, with one worker."""
    if shutil.disk_usage(place).free < NEEDED_BYTES:
        sys.exit(f"{place}: less than {NEEDED_BYTES >> 30} GiB are free; set TMPDIR")
    tell("writing two checkpoints of 8 GB")
    save_pair(place / "big", BIG_SIZES, torch.bfloat16)
    size = sum(
        path.stat().st_size
        for path in (place / "big" / "aligned").glob("*.safetensors")
    )
    peak = peak_memory("benchmarks.extract", "--case", "memory", "--place", str(place))
    shutil.rmtree(place / "big")
    largest = 4 * LARGE[0] * LARGE[1]
    benchmark.ratios["peak_memory_vs_largest_matrix"] = Spread.of([peak / largest])
    benchmark.figures |= {
        "bytes of a checkpoint": float(size),
        "bytes of the largest matrix in float32": float(largest),
        "peak bytes, one worker": float(peak),
        "peak memory, share of one checkpoint": peak / size,
    }


def run(place: Path, mergekit: Path | None) -> None:
    """Measure and write."""
    program = mergekit_program(mergekit)
    benchmark = Benchmark(
        "extract",
        "What does it cost to compress full-rank differences, and how well is it done?",
        {
            "ranks": RANKS,
            "shapes": (SMALL, LARGE),
            "pair": PAIR_SIZES,
            "big": BIG_SIZES,
            "mergekit": MERGEKIT,
        },
    )
    compare_decompositions(benchmark)
    compare_with_mergekit(benchmark, place / "pair", program)
    measure_memory(benchmark, place)
    found = benchmark.ratios
    benchmark.finish(
        f"At least {found['speed_vs_full_svd']} times as fast as the full SVD, with an"
        f" error of at most {found['error_vs_optimum'].median:.4f} of the least at the"
        f" rank; {found['speed_vs_mergekit']} times as fast as mergekit's command; at"
        f" its peak {found['peak_memory_vs_largest_matrix'].median:.2f} of the largest"
        " matrix in float32 is in memory, for a checkpoint of 8 GB."
    )


def main() -> None:
    """Run all of it, or one case alone for its memory."""
    parser = argparse.ArgumentParser(prog="benchmarks.extract", description=__doc__)
    parser.add_argument(
        "--mergekit", type=Path, help="its mergekit-extract-lora, if installed already"
    )
    parser.add_argument("--case", choices=("memory",), help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        with print_own_peak():
            extract(options.place / "big", rank=RANKS[-1], workers=1)
        return
    with tempfile.TemporaryDirectory(prefix="safegene-bench-") as place:
        run(Path(place), options.mergekit)


if __name__ == "__main__":
    main()
