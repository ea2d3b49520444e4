"""`make bench-large`: recalibrating a model of seven billion parameters.

Time and memory on an accelerator do not depend on the values of the weights, so the
model is random, of the structure of a public one; what recalibration *gains* is
measured on a real model by `make bench-method`. Against plain inference on the same
prompts at the same batch size, and against re-tuning an adapter on as many sequences as
full safety re-tuning reads there, all in one process.
"""

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

from benchmarks.harness import OUT, Benchmark, Spread, tell
from safegene.artifact.architecture import architecture_from_config
from safegene.artifact.calibration import Calibration
from safegene.artifact.manifest import BaseModelRef, Recipe
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.openers import COMPLIANCE_OPENERS, REFUSAL_OPENERS
from safegene.evaluation.rows import PromptRow, prompts_of
from safegene.vectors.factors import LowRankFactors
from safegene.vectors.recalibrate import (
    CalibrationData,
    Effort,
    recalibrate_coefficients,
)
from safegene.vectors.vector import SafetyVector

QWEN = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
}
"""Of Qwen2.5-7B."""
TINY = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 512,
}
SIZES = {"qwen2.5-7b": QWEN, "tiny": TINY}
RANK = 16
BUDGET = 0.02
ROUNDS = 2
PROMPTS = 200
RETUNING_SEQUENCES = 2400
"""Each forward and backward: the 7200 forward equivalents of `bench-method`'s."""
PROMPT_WORDS = 48
"""About as long as the prompts of `bench-method` with their chat template."""
WORDS = r"'\w+|\w+|[^\w\s]"
RELATIVE_SIZE = 0.05
"""Of a module's update, beside its weight, as random weights have it."""


@dataclass(frozen=True)
class World:
    """What both sides run on."""

    model: Any
    tokenizer: Any
    vector: SafetyVector
    data: CalibrationData


def random_world(sizes: dict[str, int], device: str) -> World:
    """A random model in bfloat16 on the device, with all that recalibration takes."""
    tokenizer = word_tokenizer()
    config = Qwen2Config(
        **sizes,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    return World(model.eval(), tokenizer, random_vector(config), random_data())


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Whole words: those that answers open with, and numbers to fill prompts."""
    texts = [*REFUSAL_OPENERS, *COMPLIANCE_OPENERS, "Hello", *map(str, range(100))]
    words = dict.fromkeys(word for text in texts for word in re.findall(WORDS, text))
    known = {word: at for at, word in enumerate(["<unk>", "<pad>", "<end>", *words])}
    inner = Tokenizer(models.WordLevel(known, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORDS), "removed", invert=True)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    names = {"unk_token": "<unk>", "pad_token": "<pad>", "eos_token": "<end>"}
    tokenizer.add_special_tokens(names)
    return tokenizer


def random_vector(config: Qwen2Config) -> SafetyVector:
    """A random update of every linear module."""
    architecture = architecture_from_config(config.to_dict())
    generator = torch.Generator().manual_seed(1)
    factors = {}
    for module in architecture.modules:
        a_RI = torch.randn(RANK, module.in_features, generator=generator)
        b_OR = torch.randn(module.out_features, RANK, generator=generator)
        size = RELATIVE_SIZE * config.initializer_range / RANK**0.5
        factors[module.path] = LowRankFactors(a_RI, size * b_OR)
    reference = BaseModelRef(id="random", revision="0" * 40)
    recipe = Recipe(
        method="delta",
        rank=RANK,
        seed=1,
        parameters={},
        degraded_model=reference,
        data=(),
        tool="benchmark",
    )
    return SafetyVector(architecture, reference, factors, recipe, ())


def random_data() -> CalibrationData:
    """As many prompts as the published figures are measured with."""
    generator = torch.Generator().manual_seed(2)

    def rows(count: int) -> tuple[PromptRow, ...]:
        numbers = torch.randint(100, (count, PROMPT_WORDS), generator=generator)
        return tuple(PromptRow(" ".join(map(str, row))) for row in numbers.tolist())

    return CalibrationData(
        harmful=rows(PROMPTS),
        lookalike=rows(PROMPTS),
        task=rows(PROMPTS // 2),
        general=rows(PROMPTS // 2),
    )


def recalibrate(world: World) -> Calibration:
    """With everything at its default."""
    return recalibrate_coefficients(
        world.model, world.tokenizer, world.vector, world.data, budget=BUDGET
    )


def plain_inference(world: World) -> None:
    """Answers to every prompt, as long as recalibration looks at."""
    effort = Effort()
    generate_answers(
        world.model,
        world.tokenizer,
        [text for rows in world.data.sets().values() for text in prompts_of(rows)],
        max_new_tokens=effort.response_tokens,
        batch_size=effort.batch_size,
    )


def retune(world: World) -> None:
    """Train a LoRA adapter of the vector's rank on prompts; it is taken off again."""
    adapter = LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(world.model, adapter)
    trained = [part for part in model.parameters() if part.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4)
    texts = prompts_of(world.data.harmful)
    device, batch = world.model.device, Effort().batch_size
    for start in range(0, RETUNING_SEQUENCES, batch):
        rows = [texts[(start + at) % len(texts)] for at in range(batch)]
        inputs = world.tokenizer(rows, return_tensors="pt", padding=True).to(device)
        model(input_ids=inputs.input_ids, labels=inputs.input_ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.unload()


def peak_bytes(device: str, work: Callable[[], None]) -> int:
    """Most bytes of the accelerator that hold tensors meanwhile, with the model's."""
    if not device.startswith("cuda"):
        return 0
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    work()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def run(size: str, device: str, out: Path) -> None:
    """Measure and write."""
    tell(f"making a random {size} on {device}")
    world = random_world(SIZES[size], device)
    found: list[Calibration] = []
    cases = {
        "recalibration": lambda: found.append(recalibrate(world)),
        "inference": lambda: plain_inference(world),
        "retuning": lambda: retune(world),
    }
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else device
    benchmark = Benchmark(
        "large",
        "What does recalibrating a model of seven billion parameters take?",
        {**SIZES[size], "rank": RANK, "prompts_a_kind": PROMPTS, "device": name},
    )
    benchmark.measure(cases, rounds=ROUNDS)
    by_time = benchmark.compare("time_vs_retuning", "recalibration", "retuning")
    benchmark.compare("time_vs_inference", "recalibration", "inference")
    benchmark.figures = {
        "parameters": sum(part.numel() for part in world.model.parameters()),
        "forward_equivalents": found[-1].forward_equivalents,
    }
    told = f"Recalibration takes {by_time} of the time of re-tuning"
    peaks = {case: peak_bytes(device, work) for case, work in cases.items()}
    if all(peaks.values()):
        benchmark.figures |= {f"peak_bytes_{case}": at for case, at in peaks.items()}
        for peer in ("inference", "retuning"):
            ratio = Spread.of([peaks["recalibration"] / peaks[peer]])
            benchmark.ratios[f"peak_memory_vs_{peer}"] = ratio
            told += f", {ratio.median:.3f} of the memory of {peer}"
    benchmark.finish(f"{told}, on {name}.", out)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="benchmarks.large", description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="qwen2.5-7b")
    parser.add_argument(
        "--device", default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    run(options.size, options.device, options.out)


if __name__ == "__main__":
    main()
