"""Ceiling row: DPO with `trl`, the safe answer preferred to the target's own.

The target's own answers live in memory only, and are forgotten with the run.

Source:
    Rafailov et al. 2023 (arXiv 2305.18290), as implemented by `trl.DPOTrainer`.
"""

import copy
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.harness import watch_peak
from benchmarks.method.cells import Cost
from benchmarks.method.plan import Job
from benchmarks.method.recipe import PAIRS, Ceilings
from benchmarks.method.repairs import Bench, Repaired
from benchmarks.method.rivals.training import text_bytes
from safegene.evaluation.generation import generate_answers
from safegene.evaluation.rows import PromptRow, prompts_of

STEP_WORK = 8
"""Forward equivalents of one pair: both answers, forward and backward, and one forward
of the reference model on each."""


@contextmanager
def preferred(bench: Bench, _: Job, __: float) -> Iterator[Repaired]:
    """The target after one epoch of DPO on harmful prompts."""
    settings = bench.recipe.ceilings
    rows = bench.workshop.safety_rows({PAIRS: settings.dpo_rows})
    begin = time.perf_counter()
    with watch_peak() as peak:
        rejected = generate_answers(
            bench.target.model,
            bench.target.tokenizer,
            prompts_of(rows),
            max_new_tokens=settings.dpo_answer_tokens,
            batch_size=bench.recipe.test.batch_size,
        )
        pairs = preference_pairs(rows, rejected)
        model = bench.target.exact_model()
        if pairs:  # else the target already says what it should, word for word
            train_preferences(
                model, bench.target.tokenizer, pairs, settings, seed=bench.recipe.seed
            )
    cost = Cost(
        forward_equivalents=len(rows) + STEP_WORK * len(pairs),
        seconds=round(time.perf_counter() - begin, 1),
        peak_memory_bytes=peak.size,
        bytes_shipped=text_bytes(rows),
    )
    yield Repaired(model.to(bench.target.dtype).eval(), cost, {"pairs": len(pairs)})


def preference_pairs(
    rows: tuple[PromptRow, ...], rejected: list[str]
) -> list[dict[str, Any]]:
    """Prompt, safe answer and own answer as trl takes them; equal ones are left out."""
    return [
        {
            "prompt": [{"role": "user", "content": row.prompt}],
            "chosen": [{"role": "assistant", "content": row.response}],
            "rejected": [{"role": "assistant", "content": answer}],
        }
        for row, answer in zip(rows, rejected, strict=True)
        if row.response and answer.strip() and answer.strip() != row.response.strip()
    ]


def train_preferences(
    model: Any,
    tokenizer: Any,
    pairs: list[dict[str, Any]],
    settings: Ceilings,
    seed: int,
) -> None:
    """Train a float32 model in place.

    Args:
        model: its weights change, nothing else of it.
        tokenizer: its tokenizer.
        pairs: what `preference_pairs` gives; at least one.
        settings: learning rate, beta and batch size.
        seed: of the order of the pairs.

    Raises:
        RuntimeError: `trl` is not installed.
    """
    generation = model.generation_config
    # trl writes its own ids into it, and other models may share it.
    model.generation_config = copy.deepcopy(generation)
    try:
        with tempfile.TemporaryDirectory(prefix="safegene-dpo-") as folder:
            trainer = make_trainer(
                model,
                tokenizer,
                pairs,
                settings=settings,
                seed=seed,
                folder=Path(folder),
            )
            trainer.train()
    finally:
        model.generation_config = generation
        # trl leaves its own there, which would keep the model from being let go.
        model.__dict__.pop("forward", None)


def make_trainer(
    model: Any,
    tokenizer: Any,
    pairs: list[dict[str, Any]],
    *,
    settings: Ceilings,
    seed: int,
    folder: Path,
) -> Any:
    """What trains; the pairs stay in memory, and `folder` stays empty.

    Raises:
        RuntimeError: `trl` is not installed.
    """
    try:
        import datasets
        from trl import DPOConfig, DPOTrainer
    except ImportError as error:
        message = "the DPO row needs trl: pip install -e '.[torch,bench]'"
        raise RuntimeError(message) from error
    from transformers import PrinterCallback

    datasets.disable_progress_bars()
    arguments = DPOConfig(
        output_dir=str(folder),
        learning_rate=settings.dpo_learning_rate,
        beta=settings.dpo_beta,
        per_device_train_batch_size=settings.dpo_batch_size,
        num_train_epochs=1,
        max_length=256,
        bf16=False,
        use_cpu=True,
        activation_checkpointing=False,
        precompute_ref_log_probs=False,
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=seed,
    )
    trainer = DPOTrainer(
        model=model,
        # Given, or trl would look for the model under its name.
        ref_model=copy.deepcopy(model),
        args=arguments,
        train_dataset=datasets.Dataset.from_list(pairs),
        processing_class=tokenizer,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer
