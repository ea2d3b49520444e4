"""Compresses the weight changes of many modules, several at once.

What comes out does not depend on how many are at work: every module has a seed of its
own and is computed by one thread, since sums split over threads round otherwise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from safegene.artifact.architecture import ModuleShape
from safegene.artifact.calibration import decimal_text
from safegene.errors import UsageError
from safegene.vectors.checkpoint import Checkpoint
from safegene.vectors.factors import Compressed, compress
from safegene.vectors.pair import difference
from safegene.vectors.randomized import Size
from safegene.vectors.vector import SafetyVector

Progress = Callable[[int, int], None]
"""Called with what is done and what there is to do."""

MOST_WORKERS = 4
"""Workers without a word from the caller, where there are as many cores."""


def compress_modules(
    aligned: Checkpoint,
    degraded: Checkpoint,
    modules: Sequence[ModuleShape],
    size: Size,
    *,
    seed: int,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Compressed]:
    """Compress the weight changes of a pair's modules; see `extract_safety_vector`.

    Returns:
        By module path, in the order given.

    Raises:
        UsageError: the weights do not differ, or there are no workers.
    """

    def work(module: ModuleShape) -> Compressed:
        delta_OI = difference(aligned, degraded, module)
        return compress(delta_OI, size, module=module.path, seed=seed)

    found: dict[str, Compressed] = {}
    with _pool(workers) as pool:
        for module, part in zip(modules, pool.map(work, modules), strict=True):
            found[module.path] = part
            if progress:
                progress(len(found), len(modules))
    if all(part.total == 0 for part in found.values()):
        message = (
            f"nothing to extract: {aligned.model_id} and {degraded.model_id} have equal"
            " weights in every touched module"
        )
        raise UsageError(message)
    return found


def loss_parameters(found: Mapping[str, Compressed]) -> dict[str, str]:
    """What the compression loses, for the recipe.

    Norm of what is lost by norm of the change, over all and for each layer.
    """
    layers: dict[int, list[Compressed]] = {}
    for path, part in found.items():
        layers.setdefault(SafetyVector.layer_of(path), []).append(part)
    by_layer = (f"{layer}: {_share(parts)}" for layer, parts in layers.items())
    return {
        "relative_error": _share(list(found.values())),
        "relative_error_by_layer": ", ".join(by_layer),
    }


def size_parameters(size: Size, found: Mapping[str, Compressed]) -> dict[str, str]:
    """The energy and the ranks it led to, for the recipe; nothing for a fixed rank."""
    if size.energy is None:
        return {}
    layers: dict[int, list[str]] = {}
    for path, part in found.items():
        ranks = layers.setdefault(SafetyVector.layer_of(path), [])
        ranks.append(str(part.factors.rank))
    by_layer = (f"{layer}: {' '.join(ranks)}" for layer, ranks in layers.items())
    return {
        "energy": decimal_text(size.energy),
        "ranks_by_layer": ", ".join(by_layer),
    }


def _share(parts: Sequence[Compressed]) -> str:
    lost, total = sum(part.lost for part in parts), sum(part.total for part in parts)
    return decimal_text((lost / total) ** 0.5 if total > 0 else 0.0)


@contextmanager
def _pool(workers: int | None) -> Iterator[ThreadPoolExecutor]:
    """Threads that compute with one thread each; the caller's own number stays."""
    threads = torch.get_num_threads()
    count = min(threads, MOST_WORKERS) if workers is None else workers
    if count < 1:
        message = f"expected at least 1 worker, got {count}"
        raise UsageError(message)
    pool = ThreadPoolExecutor(
        count, "safegene-compress", initializer=torch.set_num_threads, initargs=(1,)
    )
    try:
        yield pool
    finally:
        # On an error or Ctrl-C, what has not begun is not begun any more.
        pool.shutdown(cancel_futures=True)
        # New threads of the process take over the last number that was set.
        torch.set_num_threads(threads)
